"""Groups: what a group has, each of its members has, for as long as it is one."""

from typing import Any

import pytest
from identity_cloud import DEFAULT, Cloud, project


async def made(cloud: Cloud, admin: str, kind: str, **body: Any) -> dict[str, Any]:
    answer = await cloud.ask("POST", f"/{kind}s", admin, {kind: body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()[kind])


async def one(cloud: Cloud, admin: str, kind: str, name: str) -> str:
    return str((await cloud.ask("GET", f"/{kind}?name={name}", admin)).json()[kind][0]["id"])


@pytest.fixture
async def scene(cloud: Cloud, admin: str) -> dict[str, str]:
    """A group with the role member on the project ``service``, and a user who is in nothing."""
    group = await made(cloud, admin, "group", name="team", description="ours", color="red")
    user = await made(cloud, admin, "user", name="eve", password="secret-e")
    role, where = await one(cloud, admin, "roles", "member"), await one(cloud, admin, "projects", "service")
    given = f"/projects/{where}/groups/{group['id']}/roles/{role}"
    assert (await cloud.ask("PUT", given, admin)).status_code == 204
    return {"group": group["id"], "user": user["id"], "project": where, "given": given, "role": role}


async def roles_of(cloud: Cloud, token: str) -> set[str]:
    said = (await cloud.ask("GET", "/auth/tokens", token, headers={"X-Subject-Token": token})).json()
    return {role["name"] for role in said["token"]["roles"]}


async def test_a_group_is_shown_as_it_was_made_and_changed(cloud: Cloud, admin: str) -> None:
    group = await made(cloud, admin, "group", name="team", color="red")
    path = f"/groups/{group['id']}"
    assert (group["domain_id"], group["description"], group["color"]) == ("default", "", "red")
    assert group["links"]["self"].endswith(path)
    changed = await cloud.ask("PATCH", path, admin, {"group": {"name": "crew", "description": "d"}})
    assert changed.status_code == 200
    shown = (await cloud.ask("GET", path, admin)).json()["group"]
    assert shown == changed.json()["group"] == {**group, "name": "crew", "description": "d"}
    assert (await cloud.ask("GET", "/groups?name=crew", admin)).json()["groups"] == [shown]
    assert (await cloud.ask("GET", "/groups?name=team", admin)).json()["groups"] == []
    again = await cloud.ask("POST", "/groups", admin, {"group": {"name": "crew"}})
    assert again.status_code == 409
    assert (await cloud.ask("PATCH", path, admin, {"group": {"domain_id": "other"}})).status_code == 400
    assert (await cloud.ask("PATCH", path, admin, {"group": {}})).status_code == 400
    assert (await cloud.ask("POST", "/groups", admin, {"group": {"description": "d"}})).status_code == 400
    assert (await cloud.ask("DELETE", path, admin)).status_code == 204
    assert (await cloud.ask("GET", path, admin)).status_code == 404


async def test_a_member_has_what_the_group_has_and_loses_it_with_the_group(
    cloud: Cloud, admin: str, scene: dict[str, str]
) -> None:
    inside = f"/groups/{scene['group']}/users/{scene['user']}"
    assert (await cloud.ask("HEAD", inside, admin)).status_code == 404
    for _ in range(2):
        assert (await cloud.ask("PUT", inside, admin)).status_code == 204
    assert (await cloud.ask("HEAD", inside, admin)).status_code == 204
    members = (await cloud.ask("GET", f"/groups/{scene['group']}/users", admin)).json()["users"]
    assert [member["id"] for member in members] == [scene["user"]]
    groups = (await cloud.ask("GET", f"/users/{scene['user']}/groups", admin)).json()["groups"]
    assert [group["id"] for group in groups] == [scene["group"]]

    token = await cloud.token("eve", project("service"), "secret-e")
    assert await roles_of(cloud, token) == {"member", "reader"}
    mine = (await cloud.ask("GET", "/auth/projects", token)).json()["projects"]
    assert [one["id"] for one in mine] == [scene["project"]]
    assert (await cloud.ask("DELETE", inside, admin)).status_code == 204
    assert (await cloud.ask("GET", "/auth/projects", token)).status_code == 401


@pytest.mark.parametrize("end", ["given", "group", "user"])
async def test_whatever_ends_the_group_s_role_ends_the_token(
    cloud: Cloud, admin: str, scene: dict[str, str], end: str
) -> None:
    await cloud.ask("PUT", f"/groups/{scene['group']}/users/{scene['user']}", admin)
    token = await cloud.token("eve", project("service"), "secret-e")
    path = scene["given"] if end == "given" else f"/{end}s/{scene[end]}"
    assert (await cloud.ask("DELETE", path, admin)).status_code == 204
    assert (await cloud.ask("GET", "/auth/projects", token)).status_code == 401


async def test_a_group_holds_roles_on_domains_and_the_system_too(
    cloud: Cloud, admin: str, scene: dict[str, str]
) -> None:
    await cloud.ask("PUT", f"/groups/{scene['group']}/users/{scene['user']}", admin)
    for where, scope in (("/domains/default", {"domain": DEFAULT}), ("/system", {"system": {"all": True}})):
        path = f"{where}/groups/{scene['group']}/roles"
        assert (await cloud.ask("PUT", f"{path}/{scene['role']}", admin)).status_code == 204
        assert (await cloud.ask("HEAD", f"{path}/{scene['role']}", admin)).status_code == 204
        held = (await cloud.ask("GET", path, admin)).json()["roles"]
        assert [role["name"] for role in held] == ["member"]
        token = await cloud.token("eve", scope, "secret-e")
        assert "member" in await roles_of(cloud, token)
        assert (await cloud.ask("DELETE", f"{path}/{scene['role']}", admin)).status_code == 204
        assert (await cloud.ask("GET", "/auth/projects", token)).status_code == 401


async def test_assignments_name_groups_and_in_the_end_their_members(
    cloud: Cloud, admin: str, scene: dict[str, str]
) -> None:
    await cloud.ask("PUT", f"/groups/{scene['group']}/users/{scene['user']}", admin)
    path = "/role_assignments?include_names"
    (given,) = (await cloud.ask("GET", f"{path}&group.id={scene['group']}", admin)).json()["role_assignments"]
    assert given["group"] == {
        "id": scene["group"],
        "name": "team",
        "domain": {"id": "default", "name": "Default"},
    }
    assert given["links"]["assignment"].endswith(scene["given"])
    query = f"{path}&effective&user.id={scene['user']}"
    found = (await cloud.ask("GET", query, admin)).json()["role_assignments"]
    assert {one["role"]["name"] for one in found} == {"member", "reader"}
    assert {one["user"]["name"] for one in found} == {"eve"}
    assert all(one["links"]["membership"].endswith(f"/users/{scene['user']}") for one in found)
    for refused in (f"user.id=x&group.id={scene['group']}", f"effective&group.id={scene['group']}"):
        assert (await cloud.ask("GET", f"/role_assignments?{refused}", admin)).status_code == 400


async def test_what_is_not_there_is_404(cloud: Cloud, admin: str, scene: dict[str, str]) -> None:
    for path in (f"/groups/none/users/{scene['user']}", f"/groups/{scene['group']}/users/none"):
        for method in ("PUT", "HEAD", "DELETE"):
            assert (await cloud.ask(method, path, admin)).status_code == 404, (method, path)
    gone = scene["given"].replace(scene["group"], "none")
    for method in ("PUT", "HEAD", "DELETE"):
        assert (await cloud.ask(method, gone, admin)).status_code == 404

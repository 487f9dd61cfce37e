"""Users, projects, domains, roles and who has which: made, listed, changed, removed."""

from typing import Any

import pytest
from identity_cloud import Cloud, login, project

from databases import ON_SQLITE


async def ids(cloud: Cloud, admin: str, kind: str) -> dict[str, str]:
    """The ids of everything of a kind by name."""
    return {one["name"]: one["id"] for one in (await cloud.ask("GET", f"/{kind}", admin)).json()[kind]}


async def made(cloud: Cloud, admin: str, kind: str, **body: Any) -> dict[str, Any]:
    answer = await cloud.ask("POST", f"/{kind}s", admin, {kind: body})
    assert answer.status_code == 201, answer.text
    return answer.json()[kind]


async def test_a_user_is_made_shown_changed_and_removed(cloud: Cloud, admin: str) -> None:
    user = await made(cloud, admin, "user", name="ada", password="secret-1", email="ada@example.org")
    assert user["links"] == {"self": f"http://cloud/identity/v3/users/{user['id']}"}
    assert (user["domain_id"], user["enabled"], user["options"]) == ("default", True, {})
    assert not {"password", "password_hash", "default_project_id", "extra"} & user.keys()
    path = f"/users/{user['id']}"
    assert (await cloud.ask("GET", path, admin)).json() == {"user": user}
    changes = {"name": "lovelace", "email": None, "description": "first"}
    changed = (await cloud.ask("PATCH", path, admin, {"user": changes})).json()["user"]
    assert (changed["name"], changed["description"]) == ("lovelace", "first")
    assert "email" not in changed
    await cloud.token("lovelace", "unscoped", "secret-1")
    assert (await cloud.ask("DELETE", path, admin)).status_code == 204
    assert (await cloud.ask("GET", path, admin)).status_code == 404
    assert (await cloud.ask("DELETE", path, admin)).status_code == 404


async def test_keys_that_nobody_knows_are_kept_and_cannot_shadow_our_own(cloud: Cloud, admin: str) -> None:
    odd = {"phone": "7", "links": 1, "id": "mine"}
    for kind in ("user", "project", "domain", "role"):
        one = await made(cloud, admin, kind, name="odd", **odd)
        assert (one["phone"], one["options"]) == ("7", {})
        assert one["id"] != "mine"
        assert one["links"]["self"].endswith(one["id"])
        path = f"/{kind}s/{one['id']}"
        changed = (await cloud.ask("PATCH", path, admin, {kind: {"fax": "8"}})).json()[kind]
        assert (changed["phone"], changed["fax"]) == ("7", "8")


@pytest.mark.parametrize("kind", ["user", "project", "domain", "role"])
async def test_a_name_is_taken_once(cloud: Cloud, admin: str, kind: str) -> None:
    await made(cloud, admin, kind, name="one")
    other = await made(cloud, admin, kind, name="two")
    answer = await cloud.ask("POST", f"/{kind}s", admin, {kind: {"name": "one"}})
    assert answer.status_code == 409
    assert answer.json()["error"]["title"] == "Conflict"
    answer = await cloud.ask("PATCH", f"/{kind}s/{other['id']}", admin, {kind: {"name": "one"}})
    assert answer.status_code == 409


@ON_SQLITE
@pytest.mark.parametrize("kind", ["user", "project", "domain", "role"])
@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": " "}, {"name": "x" * 256}, {"name": None}, {"name": 7}, {"name": ["a"]}],
)
async def test_a_name_that_is_none_is_400(cloud: Cloud, admin: str, kind: str, body: dict[str, Any]) -> None:
    answer = await cloud.ask("POST", f"/{kind}s", admin, {kind: body})
    assert answer.status_code == 400, answer.text
    assert "name" in answer.json()["error"]["message"]
    one = await made(cloud, admin, kind, name="there")
    if body:
        answer = await cloud.ask("PATCH", f"/{kind}s/{one['id']}", admin, {kind: body})
        assert answer.status_code == 400, answer.text


@ON_SQLITE
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("user", {"enabled": "yes"}),
        ("user", {"password": 7}),
        ("user", {"password": "x" * 4097}),
        ("user", {"email": "x" * 256}),
        ("user", {"default_project_id": "x" * 37}),
        ("project", {"enabled": 1}),
        ("project", {"tags": "a"}),
        ("project", {"tags": ["a,b"]}),
        ("project", {"tags": [str(n) for n in range(81)]}),
        ("project", {"is_domain": 7}),
        ("domain", {"description": []}),
    ],
)
async def test_a_value_of_the_wrong_type_is_400(
    cloud: Cloud, admin: str, kind: str, body: dict[str, Any]
) -> None:
    answer = await cloud.ask("POST", f"/{kind}s", admin, {kind: {"name": "odd", **body}})
    assert answer.status_code == 400, answer.text
    assert next(iter(body)) in answer.json()["error"]["message"]


async def test_what_a_thing_belongs_to_cannot_change(cloud: Cloud, admin: str) -> None:
    for kind in ("user", "project"):
        one = await made(cloud, admin, kind, name="one")
        for column in ("id", "domain_id"):
            path = f"/{kind}s/{one['id']}"
            answer = await cloud.ask("PATCH", path, admin, {kind: {column: "other"}})
            assert answer.status_code == 400
            assert (await cloud.ask("PATCH", path, admin, {kind: {column: one[column]}})).status_code == 200


async def test_lists_are_filtered_and_cut_into_pages(cloud: Cloud, admin: str) -> None:
    for name in ("a", "b", "c"):
        await made(cloud, admin, "user", name=name, enabled=name != "b")

    async def names(query: str) -> list[str]:
        answer = await cloud.ask("GET", f"/users{query}", admin)
        return [user["name"] for user in answer.json()["users"]]

    assert await names("") == ["a", "admin", "b", "c", "demo", "pumice"]
    assert await names("?name=b") == ["b"]
    assert await names("?enabled=false") == ["b"]
    assert await names("?enabled=true&domain_id=default") == ["a", "admin", "c", "demo", "pumice"]
    assert await names("?domain_id=other") == []
    assert await names("?unknown=1&name=a") == ["a"]
    seen, path = [], "http://cloud/identity/v3/users?limit=4"
    while path:
        page = (await cloud.ask("GET", path, admin)).json()
        seen += [user["name"] for user in page["users"]]
        path = page["links"]["next"]
    assert seen == await names("")
    assert (await cloud.ask("GET", "/users?limit=-1", admin)).status_code == 400
    assert (await cloud.ask("GET", "/users?marker=none", admin)).status_code == 400
    assert (await cloud.ask("GET", "/groups", admin)).json()["groups"] == []


async def test_who_knows_the_password_may_change_it_and_loses_the_old_tokens(
    cloud: Cloud, admin: str, member: str
) -> None:
    user = (await ids(cloud, admin, "users"))["demo"]
    path = f"/users/{user}/password"

    def body(before: str, after: str) -> dict[str, Any]:
        return {"user": {"original_password": before, "password": after}}

    assert (await cloud.ask("POST", path, member, body("wrong", "secret-2"))).status_code == 401
    nobody = await cloud.ask("POST", "/users/none/password", None, body("wrong", "secret-2"))
    assert nobody.status_code == 401
    odd = await cloud.ask("POST", path, member, {"user": {"password": "secret-2", "more": 1}})
    assert odd.status_code == 400
    assert "secret-2" not in odd.text
    assert (await cloud.ask("POST", path, member, body("secret-d", "secret-2"))).status_code == 204
    assert (await cloud.ask("GET", "/auth/projects", member)).status_code == 401
    assert (await cloud.ask("POST", "/auth/tokens", body=login("demo", "secret-d"))).status_code == 401
    await cloud.token("demo", project("demo"), "secret-2")


async def test_a_user_without_a_password_cannot_log_in(cloud: Cloud, admin: str) -> None:
    await made(cloud, admin, "user", name="silent")
    for password in ("", "None", "nobody has this password"):
        assert (await cloud.ask("POST", "/auth/tokens", body=login("silent", password))).status_code == 401


async def test_a_project_carries_tags(cloud: Cloud, admin: str) -> None:
    one = await made(cloud, admin, "project", name="one", tags=["b", "a", "a"])
    assert one["tags"] == ["a", "b"]
    assert (one["parent_id"], one["is_domain"], one["description"]) == ("default", False, "")
    path = f"/projects/{one['id']}/tags"
    assert (await cloud.ask("PUT", f"{path}/c", admin)).status_code == 201
    assert (await cloud.ask("GET", f"{path}/c", admin)).status_code == 204
    assert (await cloud.ask("DELETE", f"{path}/a", admin)).status_code == 204
    assert (await cloud.ask("DELETE", f"{path}/a", admin)).status_code == 404
    assert (await cloud.ask("GET", path, admin)).json()["tags"] == ["b", "c"]
    for query, found in (("tags=b,c", 1), ("tags=b,x", 0), ("tags-any=b,x", 1), ("not-tags-any=b", 3)):
        answer = await cloud.ask("GET", f"/projects?{query}", admin)
        assert len(answer.json()["projects"]) == found, query
    assert (await cloud.ask("PUT", path, admin, {"tags": ["z"]})).json()["tags"] == ["z"]
    assert (await cloud.ask("DELETE", path, admin)).status_code == 204


async def test_a_project_with_children_stays_and_without_them_takes_all_along(cloud: Cloud, admin: str) -> None:
    parent = await made(cloud, admin, "project", name="parent")
    child = await made(cloud, admin, "project", name="child", parent_id=parent["id"])
    users, roles = await ids(cloud, admin, "users"), await ids(cloud, admin, "roles")
    await cloud.ask("PUT", f"/projects/{child['id']}/users/{users['demo']}/roles/{roles['member']}", admin)
    inside = await cloud.token("demo", {"project": {"id": child["id"]}})
    assert (await cloud.ask("DELETE", f"/projects/{parent['id']}", admin)).status_code == 403
    assert (await cloud.ask("DELETE", f"/projects/{child['id']}", admin)).status_code == 204
    assert (await cloud.ask("GET", "/auth/projects", inside)).status_code == 401
    left = await cloud.ask("GET", f"/role_assignments?scope.project.id={child['id']}", admin)
    assert left.json()["role_assignments"] == []
    assert (await cloud.ask("DELETE", f"/projects/{parent['id']}", admin)).status_code == 204
    answer = await cloud.ask("POST", "/projects", admin, {"project": {"name": "x", "parent_id": "none"}})
    assert answer.status_code == 404


async def test_a_domain_is_disabled_before_it_goes_with_all_in_it(cloud: Cloud, admin: str) -> None:
    domain = await made(cloud, admin, "domain", name="guests")
    user = await made(cloud, admin, "user", name="demo", domain_id=domain["id"])
    inside = await made(cloud, admin, "project", name="demo", domain_id=domain["id"])
    path = f"/domains/{domain['id']}"
    assert (await cloud.ask("DELETE", path, admin)).status_code == 403
    await cloud.ask("PATCH", path, admin, {"domain": {"enabled": False}})
    assert (await cloud.ask("DELETE", path, admin)).status_code == 204
    assert (await cloud.ask("GET", f"/users/{user['id']}", admin)).status_code == 404
    assert (await cloud.ask("GET", f"/projects/{inside['id']}", admin)).status_code == 404


async def test_roles_that_rules_name_stay(cloud: Cloud, admin: str) -> None:
    for name, role in (await ids(cloud, admin, "roles")).items():
        assert (await cloud.ask("DELETE", f"/roles/{role}", admin)).status_code == 403, name
        answer = await cloud.ask("PATCH", f"/roles/{role}", admin, {"role": {"name": "other"}})
        assert answer.status_code == 403, name
    own = await made(cloud, admin, "role", name="auditor", description="looks")
    assert (await cloud.ask("DELETE", f"/roles/{own['id']}", admin)).status_code == 204
    rules = (await cloud.ask("GET", "/role_inferences", admin)).json()["role_inferences"]
    implied = {rule["prior_role"]["name"]: {role["name"] for role in rule["implies"]} for rule in rules}
    assert implied == {"admin": {"manager"}, "manager": {"member"}, "member": {"reader"}}


@pytest.mark.parametrize("where", ["projects", "domains", "system"])
async def test_a_role_is_given_checked_listed_and_taken(cloud: Cloud, admin: str, where: str) -> None:
    users, roles = await ids(cloud, admin, "users"), await ids(cloud, admin, "roles")
    targets = {
        "projects": f"/projects/{(await ids(cloud, admin, 'projects'))['service']}",
        "domains": "/domains/default",
        "system": "/system",
    }
    held = f"{targets[where]}/users/{users['demo']}/roles"
    grant = f"{held}/{roles['manager']}"
    assert (await cloud.ask("HEAD", grant, admin)).status_code == 404
    for _ in range(2):
        assert (await cloud.ask("PUT", grant, admin)).status_code == 204
    assert (await cloud.ask("HEAD", grant, admin)).status_code == 204
    assert [r["name"] for r in (await cloud.ask("GET", held, admin)).json()["roles"]] == ["manager"]
    assert (await cloud.ask("DELETE", grant, admin)).status_code == 204
    assert (await cloud.ask("DELETE", grant, admin)).status_code == 404
    for wrong in (f"{held}/none", grant.replace(users["demo"], "none")):
        assert (await cloud.ask("PUT", wrong, admin)).status_code == 404
    if where != "system":
        wrong = f"/{where}/none/users/{users['demo']}/roles/{roles['manager']}"
        assert (await cloud.ask("PUT", wrong, admin)).status_code == 404


async def test_assignments_are_listed_by_what_they_are_about(cloud: Cloud, admin: str) -> None:
    users, roles = await ids(cloud, admin, "users"), await ids(cloud, admin, "roles")
    projects = await ids(cloud, admin, "projects")

    async def listed(query: str) -> list[dict[str, Any]]:
        answer = await cloud.ask("GET", f"/role_assignments?{query}", admin)
        assert answer.status_code == 200, answer.text
        return answer.json()["role_assignments"]

    assert len(await listed("")) == 6
    assert len(await listed(f"user.id={users['demo']}")) == 2
    assert len(await listed(f"scope.project.id={projects['service']}")) == 2
    (system,) = await listed("scope.system=all")
    assert system["scope"] == {"system": {"all": True}}
    assert system["user"] == {"id": users["admin"]}
    assert len(await listed(f"role.id={roles['admin']}")) == 3
    assert await listed(f"role.id={roles['manager']}") == []
    implied = await listed(f"role.id={roles['manager']}&effective")
    assert {one["user"]["id"] for one in implied} == {users["admin"], users["pumice"]}
    assert all("prior_role" in one["links"] for one in implied)
    assert len(await listed(f"effective&user.id={users['demo']}")) == 2
    named = await listed(f"include_names&user.id={users['demo']}&role.id={roles['member']}")
    assert named == [
        {
            "role": {"id": roles["member"], "name": "member"},
            "user": {
                "id": users["demo"],
                "name": "demo",
                "domain": {"id": "default", "name": "Default"},
            },
            "scope": {
                "project": {
                    "id": projects["demo"],
                    "name": "demo",
                    "domain": {"id": "default", "name": "Default"},
                }
            },
            "links": {
                "assignment": f"http://cloud/identity/v3/projects/{projects['demo']}"
                f"/users/{users['demo']}/roles/{roles['member']}"
            },
        }
    ]
    answer = await cloud.ask("GET", "/role_assignments?scope.project.id=a&scope.domain.id=b", admin)
    assert answer.status_code == 400


async def test_the_catalog_can_be_read_as_services_and_endpoints(cloud: Cloud, admin: str) -> None:
    services = (await cloud.ask("GET", "/services?type=block-storage", admin)).json()["services"]
    assert [service["name"] for service in services] == ["cinder"]
    path = f"/endpoints?service_id={services[0]['id']}&interface=public"
    (endpoint,) = (await cloud.ask("GET", path, admin)).json()["endpoints"]
    assert (endpoint["url"], endpoint["region"]) == ("http://cloud/volume/v3", "RegionOne")
    assert (await cloud.ask("GET", f"/endpoints/{endpoint['id']}", admin)).json()["endpoint"] == endpoint
    assert (await cloud.ask("GET", "/regions/RegionOne", admin)).json()["region"]["id"] == "RegionOne"


@pytest.mark.parametrize("kind", ["user", "project", "domain", "role"])
async def test_names_are_found_by_a_part(cloud: Cloud, admin: str, kind: str) -> None:
    await made(cloud, admin, kind, name="Ada Lovelace")
    for query, found in (
        ("name__contains=a L", True), ("name__contains=a l", False), ("name__icontains=a l", True),
        ("name__startswith=Ada", True), ("name__startswith=ada", False), ("name__istartswith=ada", True),
        ("name__endswith=lace", True), ("name__iendswith=LACE", True), ("name__endswith=Ada", False),
        ("name__contains=a L&name__endswith=x", False),
    ):  # fmt: skip
        answer = await cloud.ask("GET", f"/{kind}s?{query}", admin)
        assert [one["name"] for one in answer.json()[f"{kind}s"]] == ["Ada Lovelace"] * found, query
    assert (await cloud.ask("GET", f"/{kind}s?name__like=a", admin)).status_code == 400


async def test_a_role_belongs_to_no_domain(cloud: Cloud, admin: str) -> None:
    own = {"role": {"name": "own", "domain_id": "default"}}
    assert (await cloud.ask("POST", "/roles", admin, own)).status_code == 400
    free = await made(cloud, admin, "role", name="free", domain_id=None)
    changed = await cloud.ask("PATCH", f"/roles/{free['id']}", admin, {"role": {"domain_id": "default"}})
    assert changed.status_code == 400


async def test_what_cannot_be_made_here_is_said_in_a_sentence(cloud: Cloud, admin: str) -> None:
    older = "/OS-EP-FILTER/endpoint_groups /OS-REVOKE/events /OS-SIMPLE-CERT/ca /domains/config/default"
    others = "/policies /ec2tokens /s3tokens"
    other = "/credentials /OS-TRUST/trusts /registered_limits /OS-FEDERATION/mappings"
    for path in f"{older} {others} {other}".split():
        answer = await cloud.ask("POST", path, admin, {})
        assert answer.status_code == 404, path
        assert "not part of this version of Pumice" in answer.json()["error"]["message"]

"""Every documented query of every list is read: a value that makes no sense is refused, or finds nothing."""

from typing import Any

from identity_cloud import Cloud

from databases import ON_SQLITE
from pumice.api.identity.service import ROUTES

pytestmark = ON_SQLITE
PAGE = "marker limit sort_key sort_dir"
USERS = f"{PAGE} domain_id enabled idp_id name password_expires_at protocol_id unique_id"
PROJECTS = f"{PAGE} domain_id enabled name parent_id"
DOCUMENTED = {
    "/users": USERS,
    "/groups/{group_id}/users": f"{PAGE} domain_id enabled name password_expires_at",
    "/groups": f"{PAGE} domain_id name",
    "/users/{user_id}/groups": f"{PAGE} name",
    "/users/{user_id}/projects": f"{PAGE} domain_id enabled name",
    "/projects": f"{PROJECTS} is_domain tags tags-any not-tags not-tags-any",
    "/domains": f"{PAGE} name enabled",
    "/roles": f"{PAGE} name domain_id",
    "/services": f"{PAGE} type name",
    "/endpoints": f"{PAGE} interface service_id region_id",
    "/regions": f"{PAGE} parent_region_id",
    "/users/{user_id}/application_credentials": f"{PAGE} name",
    "/users/{user_id}/access_rules": f"{PAGE} service path method",
    "/role_assignments": "group.id role.id user.id scope.domain.id scope.project.id scope.system "
    "scope.OS-INHERIT:inherited_to effective include_names include_subtree",
}
NOTHING_TO_ASK = {
    "/auth/projects",
    "/auth/domains",
    "/auth/tokens",
    "/auth/system",
    "/auth/catalog",
    "/projects/{project_id}/tags",
    "/role_inferences",
}
VALUES = {"enabled": "false", "not-tags": "t", "not-tags-any": "t", "sort_dir": "desc", "limit": "1"}
"""What to ask where a word without sense is a value as good as any."""


async def furnish(cloud: Cloud, admin: str) -> dict[str, str]:
    """Two of everything that can be listed, all with tags where those exist."""
    said = await cloud.ask("GET", "/auth/tokens", admin, headers={"X-Subject-Token": admin})
    token = said.json()["token"]
    ids = {"user_id": token["user"]["id"], "project_id": token["project"]["id"]}

    async def make(path: str, kind: str, **body: Any) -> Any:
        answer = await cloud.ask("POST", path, admin, {kind: body})
        assert answer.status_code == 201, answer.text
        return answer.json()[kind]

    for name in ("one", "two"):
        ids["group_id"] = (await make("/groups", "group", name=name))["id"]
        project = await make("/projects", "project", name=name, tags=["t"])
        rule = {"service": "image", "method": "GET", "path": f"/{name}"}
        path = f"/users/{ids['user_id']}/application_credentials"
        await make(path, "application_credential", name=name, access_rules=[rule])
        for one in (await cloud.ask("GET", "/users", admin)).json()["users"]:
            await cloud.ask("PUT", f"/groups/{ids['group_id']}/users/{one['id']}", admin)
        roles = (await cloud.ask("GET", "/roles?name=member", admin)).json()["roles"]
        given = f"/projects/{project['id']}/groups/{ids['group_id']}/roles/{roles[0]['id']}"
        assert (await cloud.ask("PUT", given, admin)).status_code == 204
    await make("/domains", "domain", name="other")
    await make("/regions", "region", id="other")
    return ids


async def test_every_documented_query_of_every_list_is_read(cloud: Cloud, admin: str) -> None:
    ids = await furnish(cloud, admin)
    ignored = []
    for path, names in DOCUMENTED.items():
        where = path.format(**ids)
        plain = _without_links((await cloud.ask("GET", where, admin)).json())
        for name in names.split():
            value = VALUES.get(name, "1" if name.startswith(("effective", "include", "is_")) else "no-sense")
            answer = await cloud.ask("GET", f"{where}?{name}={value}", admin)
            if answer.status_code == 200 and _without_links(answer.json()) == plain:
                ignored.append(f"{path}?{name}={value}")
    assert ignored == []


def _without_links(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "links"}


async def test_every_list_has_its_queries_documented_here(cloud: Cloud) -> None:
    reads = {route.path.removeprefix("/v3") for route in ROUTES if route.method == "GET"}
    lists = {path for path in reads if path not in ("", "/") and not path.endswith(("}", "/roles"))}
    assert lists <= DOCUMENTED.keys() | NOTHING_TO_ASK


async def test_a_query_that_nobody_knows_is_ignored_but_for_regions(cloud: Cloud, admin: str) -> None:
    for path in ("/users", "/projects", "/domains", "/roles", "/services", "/endpoints", "/groups"):
        plain = (await cloud.ask("GET", path, admin)).json()
        answer = await cloud.ask("GET", f"{path}?bogus=x", admin)
        assert _without_links(answer.json()) == _without_links(plain), path
    assert (await cloud.ask("GET", "/regions?bogus=x", admin)).status_code == 400


async def test_users_are_found_by_when_their_password_ends(cloud: Cloud, admin: str) -> None:
    for query, status in (("lt:2030-01-01T00:00:00Z", 200), ("lt:soon", 400), ("2030-01-01T00:00:00Z", 400)):
        answer = await cloud.ask("GET", f"/users?password_expires_at={query}", admin)
        assert answer.status_code == status, query
        if status == 200:
            assert answer.json()["users"] == []  # nobody's ends


async def test_assignments_below_a_project_are_listed_with_its_own(cloud: Cloud, admin: str) -> None:
    ids = []
    for name in ("top", "below"):
        body = {"project": {"name": name, **({"parent_id": ids[0]} if ids else {})}}
        ids.append((await cloud.ask("POST", "/projects", admin, body)).json()["project"]["id"])
    (user,) = (await cloud.ask("GET", "/users?name=demo", admin)).json()["users"]
    (role,) = (await cloud.ask("GET", "/roles?name=member", admin)).json()["roles"]
    await cloud.ask("PUT", f"/projects/{ids[1]}/users/{user['id']}/roles/{role['id']}", admin)
    query = f"/role_assignments?scope.project.id={ids[0]}"
    assert (await cloud.ask("GET", query, admin)).json()["role_assignments"] == []
    (found,) = (await cloud.ask("GET", f"{query}&include_subtree", admin)).json()["role_assignments"]
    assert found["scope"] == {"project": {"id": ids[1]}}

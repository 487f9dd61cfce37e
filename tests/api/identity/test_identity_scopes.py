"""Who reaches how far: admins of the cloud and of a domain, and a domain's managers and readers."""

from typing import Any

import pytest
from identity_cloud import DEFAULT, Cloud

WITHIN = {"password": "secret-g"}


async def put(cloud: Cloud, admin: str, kind: str, **body: Any) -> str:
    answer = await cloud.ask("POST", f"/{kind}s", admin, {kind: body})
    assert answer.status_code == 201, answer.text
    return answer.json()[kind]["id"]


@pytest.fixture
async def guests(cloud: Cloud, admin: str) -> dict[str, str]:
    """A domain with a user, a project, and somebody of each role; the ids by name."""
    found = {"domain": await put(cloud, admin, "domain", name="guests")}
    found["user"] = await put(cloud, admin, "user", name="user", domain_id=found["domain"])
    found["project"] = await put(cloud, admin, "project", name="project", domain_id=found["domain"])
    roles = (await cloud.ask("GET", "/roles", admin)).json()["roles"]
    found |= {role["name"]: role["id"] for role in roles}
    for name in ("admin", "manager", "reader"):
        user = await put(cloud, admin, "user", name=f"its {name}", domain_id=found["domain"], **WITHIN)
        for where in ("domain", "project"):
            path = f"/{where}s/{found[where]}/users/{user}/roles/{found[name]}"
            assert (await cloud.ask("PUT", path, admin)).status_code == 204
    outside = (await cloud.ask("GET", "/users?name=demo", admin)).json()["users"]
    return {**found, "outsider": outside[0]["id"]}


async def token(cloud: Cloud, guests: dict[str, str], name: str, where: str) -> str:
    user = {"name": f"its {name}", "domain": {"id": guests["domain"]}, **WITHIN}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {where: {"id": guests[where]}}}}
    answer = await cloud.ask("POST", "/auth/tokens", body=body)
    assert answer.status_code == 201, answer.text
    return answer.headers["X-Subject-Token"]


@pytest.mark.parametrize(("name", "where"), [("admin", "domain"), ("admin", "project"), ("manager", "domain")])
async def test_who_manages_a_domain_does_so_inside_it_and_nowhere_else(
    cloud: Cloud, guests: dict[str, str], name: str, where: str
) -> None:
    mine = await token(cloud, guests, name, where)
    domain_id, change = guests["domain"], {"user": {"password": "other"}}
    assert (await cloud.ask("PATCH", f"/users/{guests['user']}", mine, change)).status_code == 200
    assert (await cloud.ask("PATCH", f"/users/{guests['outsider']}", mine, change)).status_code == 403
    for kind in ("user", "project"):
        inside = await cloud.ask("POST", f"/{kind}s", mine, {kind: {"name": "new", "domain_id": domain_id}})
        assert inside.status_code == 201, inside.text
        outside = await cloud.ask("POST", f"/{kind}s", mine, {kind: {"name": "new", "domain_id": "default"}})
        assert outside.status_code == 403
        listed = (await cloud.ask("GET", f"/{kind}s", mine)).json()[f"{kind}s"]
        assert {one["domain_id"] for one in listed} == {domain_id}
        assert (await cloud.ask("GET", f"/{kind}s?domain_id=default", mine)).json()[f"{kind}s"] == []
    grant = f"/projects/{guests['project']}/users/{guests['user']}/roles"
    assert (await cloud.ask("PUT", f"{grant}/{guests['member']}", mine)).status_code == 204
    for role, right in (
        ("admin", 204 if name == "admin" else 403),
        ("service", 204 if name == "admin" else 403),
    ):
        assert (await cloud.ask("PUT", f"{grant}/{guests[role]}", mine)).status_code == right, role
    abroad = grant.replace(guests["user"], guests["outsider"])
    assert (await cloud.ask("PUT", f"{abroad}/{guests['member']}", mine)).status_code == 403
    for method, path, body in (
        ("POST", "/domains", {"domain": {"name": "mine"}}),
        ("DELETE", f"/domains/{domain_id}", None),
        ("POST", "/roles", {"role": {"name": "mine"}}),
        ("PUT", f"/system/users/{guests['user']}/roles/{guests['reader']}", None),
        ("GET", "/domains/default", None),
    ):
        assert (await cloud.ask(method, path, mine, body)).status_code == 403, (method, path)
    assert [one["id"] for one in (await cloud.ask("GET", "/domains", mine)).json()["domains"]] == [domain_id]
    assert (await cloud.ask("GET", "/roles", mine)).status_code == 200


async def test_a_reader_of_a_domain_reads_what_is_inside(cloud: Cloud, guests: dict[str, str]) -> None:
    mine = await token(cloud, guests, "reader", "domain")
    for path in ("/users", "/projects", "/domains", "/role_assignments", f"/users/{guests['user']}"):
        assert (await cloud.ask("GET", path, mine)).status_code == 200, path
    for path in (f"/users/{guests['outsider']}", "/domains/default", "/services"):
        assert (await cloud.ask("GET", path, mine)).status_code == 403, path
    assert (await cloud.ask("DELETE", f"/users/{guests['user']}", mine)).status_code == 403
    given = (await cloud.ask("GET", "/role_assignments", mine)).json()["role_assignments"]
    assert given
    assert all(set(one["scope"].get("project", one["scope"].get("domain")).values())
               <= {guests["project"], guests["domain"]} for one in given)  # fmt: skip


async def test_a_member_sees_the_domain_that_its_project_is_in(
    cloud: Cloud, member: str, guests: dict[str, str]
) -> None:
    assert (await cloud.ask("GET", "/domains/default", member)).json()["domain"]["id"] == DEFAULT["id"]
    assert (await cloud.ask("GET", f"/domains/{guests['domain']}", member)).status_code == 403


@pytest.mark.parametrize("kind", ["project", "domain"])
async def test_names_of_projects_and_domains_have_64_characters_at_most(
    cloud: Cloud, admin: str, kind: str
) -> None:
    one = await put(cloud, admin, kind, name="x" * 64)
    assert (await cloud.ask("POST", f"/{kind}s", admin, {kind: {"name": "x" * 65}})).status_code == 400
    longer = await cloud.ask("PATCH", f"/{kind}s/{one}", admin, {kind: {"name": "y" * 65}})
    assert longer.status_code == 400

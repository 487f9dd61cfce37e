"""Every route: refuses who has no token, refuses the wrong role, answers what it does not know with a fault."""

import pytest
from identity_cloud import Cloud, project

from pumice.api.absent import IDENTITY
from pumice.api.identity.service import ROUTES
from pumice.api.policy import ANYBODY
from pumice.api.routing import Route

GUARDED = [route for route in ROUTES if route.rule is not None]
FOR_ANYBODY = {"identity:validate_token", "identity:revoke_token"} | {
    route.rule.name for route in ROUTES if route.rule and route.rule.check == ANYBODY
}
"""What a member may call; the two about tokens are then judged by whose token it is."""


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route) -> str:
    parts = ["someone-else" if part.startswith("{") else part for part in route.path.split("/")]
    return "http://cloud/identity" + "/".join(parts)


def is_for_anybody(route: Route) -> bool:
    return route.rule is None or route.rule.name in FOR_ANYBODY


async def test_every_guarded_route_wants_a_token(cloud: Cloud) -> None:
    for route in GUARDED:
        for token in (None, "nonsense", "\xff"):
            said = {"X-Auth-Token": token.encode("latin-1")} if token else {}
            answer = await cloud.http.request(route.method, path_of(route), headers=said)
            assert answer.status_code == 401, named(route)


async def test_every_route_refuses_a_plain_member(cloud: Cloud, member: str) -> None:
    for route in GUARDED:
        answer = await cloud.ask(route.method, path_of(route), member)
        if is_for_anybody(route):
            assert answer.status_code in (200, 404), named(route)
        else:
            assert answer.status_code == 403, named(route)
            assert answer.json()["error"]["title"] == "Forbidden"


async def test_a_token_without_a_scope_opens_nothing_but_the_way_to_one(cloud: Cloud) -> None:
    token = await cloud.token("admin", "unscoped")
    for route in GUARDED:
        answer = await cloud.ask(route.method, path_of(route), token)
        if not is_for_anybody(route):
            assert answer.status_code == 403, named(route)
    mine = (await cloud.ask("GET", "/auth/projects", token)).json()["projects"]
    assert [one["name"] for one in mine] == ["admin"]


async def test_nothing_that_is_unknown_or_malformed_is_our_bug(cloud: Cloud, admin: str) -> None:
    for route in GUARDED:
        for content in (b"", b"{", b"[]", b'{"user": {"name": "\xff"}}', b"1" * 200_000):
            answer = await cloud.http.request(
                route.method, path_of(route), headers={"X-Auth-Token": admin}, content=content
            )
            assert answer.status_code < 500, (named(route), answer.text)
            if answer.status_code >= 400:
                assert answer.json()["error"].keys() == {"code", "message", "title"}


async def test_a_member_sees_itself_and_its_project(cloud: Cloud, member: str) -> None:
    said = (await cloud.ask("GET", "/auth/tokens", member, headers={"X-Subject-Token": member})).json()["token"]
    user, inside = said["user"]["id"], said["project"]["id"]
    for path in (f"/users/{user}", f"/users/{user}/projects", f"/users/{user}/groups", f"/projects/{inside}"):
        assert (await cloud.ask("GET", path, member)).status_code == 200, path
        assert (await cloud.ask("HEAD", path, member)).status_code == 200, path
    assert (await cloud.ask("DELETE", f"/users/{user}", member)).status_code == 403


async def test_a_reader_of_the_system_sees_everything_and_changes_nothing(cloud: Cloud, admin: str) -> None:
    users = (await cloud.ask("GET", "/users?name=demo", admin)).json()["users"]
    roles = (await cloud.ask("GET", "/roles?name=reader", admin)).json()["roles"]
    await cloud.ask("PUT", f"/system/users/{users[0]['id']}/roles/{roles[0]['id']}", admin)
    reader = await cloud.token("demo", {"system": {"all": True}})
    for route in GUARDED:
        answer = await cloud.ask(route.method, path_of(route), reader)
        if is_for_anybody(route):
            continue
        assert (answer.status_code == 403) == (route.method != "GET"), named(route)


async def test_unknown_paths_are_404_and_wrong_methods_405(cloud: Cloud, admin: str) -> None:
    assert (await cloud.ask("GET", "/nothing", admin)).status_code == 404
    assert (await cloud.ask("GET", "/nothing")).status_code == 401
    for route in GUARDED:
        answer = await cloud.ask("PROPFIND", path_of(route), admin)
        if not IDENTITY.keys().isdisjoint(route.path.split("/")):
            assert answer.status_code == 501, named(route)
            continue
        assert answer.status_code == 405, named(route)
        assert route.method in answer.headers["Allow"]


async def test_a_last_slash_is_ignored(cloud: Cloud, admin: str) -> None:
    for path in ("/v3", "/v3/users", "/v3/auth/tokens"):
        asked = f"http://cloud/identity{path}"
        plain = await cloud.ask("GET", asked, admin)
        assert (await cloud.ask("GET", f"{asked}/", admin)).status_code == plain.status_code


@pytest.mark.parametrize("kind", ["users", "projects", "domains", "roles", "services", "endpoints", "regions"])
async def test_an_id_that_nobody_has_is_404(cloud: Cloud, admin: str, kind: str) -> None:
    for name in ("none", "x" * 300, "a%00b", "%F0%9F%8C%8B"):
        answer = await cloud.ask("GET", f"/{kind}/{name}", admin)
        assert answer.status_code == 404, answer.text
        assert answer.json()["error"]["code"] == 404


async def test_the_service_user_is_no_member_of_anything_else(cloud: Cloud) -> None:
    token = await cloud.token("pumice", project("service"))
    said = (await cloud.ask("GET", "/auth/tokens", token, headers={"X-Subject-Token": token})).json()["token"]
    assert "service" in {role["name"] for role in said["roles"]}

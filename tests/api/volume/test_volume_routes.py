"""The route table as a whole: who may ask for what, at which version, and what every refusal looks like."""

import pytest
from volume_cloud import OTHER_PROJECT, PROJECT, SCOPES, Cloud

from databases import ON_SQLITE
from pumice.api.policy import ANYBODY, MEMBER, READER
from pumice.api.routing import Route
from pumice.model.ids import new_id

NO_PROJECT = "This needs a token that is scoped to a project."


def asked(route: Route) -> tuple[str, str, object]:
    path = route.path.removeprefix("/v3").replace("{project_id}", PROJECT)
    while "{" in path:
        head, _, tail = path.partition("{")
        path = head + new_id() + tail.partition("}")[2]
    return route.method, path, {route.action: {}} if route.action else {}


async def test_every_route_refuses_whoever_has_no_token(cloud: Cloud) -> None:
    for route in cloud.service.table.routes:
        if route.rule is not None:
            reply = await cloud.call(*asked(route), who=None)
            assert reply.status_code == 401, route
            assert reply.json()["unauthorized"]["code"] == 401


LADDER = ("nobody", "reader", "member", "manager", "admin")
"""What a role may, all after it may."""
BESIDE = ("service", "system reader", "domain manager")
"""Who may no more than anybody: Cinder's defaults name neither the role nor the scopes."""


def refused_and_allowed(route: Route) -> tuple[list[str], list[str]]:
    """Which roles may not ask for it, and which may."""
    assert route.rule
    first = {ANYBODY: 0, READER: 1, MEMBER: 2}.get(route.rule.check, LADDER.index("admin"))
    if route.rule.check == ANYBODY:
        return [], [*LADDER, "service"]
    return [*LADDER[:first], *BESIDE], [*LADDER[first:]]


async def hold_to_its_rule(
    cloud: Cloud, route: Route, version: str, refused: list[str], allowed: list[str]
) -> None:
    """Each role is refused in the words of the rule or, without a project, for that; or it is not."""
    assert route.rule
    words = f"Policy doesn't allow {route.rule.name} to be performed."
    for role in refused:
        reply = await cloud.call(*asked(route), who=role, version=version)
        assert reply.status_code == 403, (route, role, version)
        unscoped = SCOPES[role].project_id is None
        assert reply.json()["forbidden"]["message"] == (NO_PROJECT if unscoped else words)
    for role in allowed:
        reply = await cloud.call(*asked(route), who=role, version=version)
        assert reply.status_code < 500 and words not in reply.text, (route, role, version)


async def test_every_route_refuses_the_wrong_role_and_no_other(cloud: Cloud) -> None:
    """The last that may not and the first that may, and one that stands beside them."""
    for number, route in enumerate(cloud.service.table.routes):
        if route.rule is not None:
            refused, allowed = refused_and_allowed(route)
            within = [role for role in refused if role in LADDER][-1:]
            beside = [BESIDE[number % len(BESIDE)]] if refused else []
            for version in {f"3.{route.since[1]}", "3.71"}:
                await hold_to_its_rule(cloud, route, version, within + beside, allowed[:1])


@ON_SQLITE
@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_every_route_refuses_the_wrong_role_at_every_microversion(cloud: Cloud) -> None:
    for route in cloud.service.table.routes:
        if route.rule is not None:
            for minor in range(route.since[1], 72):
                await hold_to_its_rule(cloud, route, f"3.{minor}", *refused_and_allowed(route))


async def test_no_route_answers_an_empty_or_strange_body_with_a_bug(cloud: Cloud) -> None:
    for route in cloud.service.table.routes:
        if route.method in ("POST", "PUT"):
            method, path, _ = asked(route)
            for body in (None, [], "text", 7, {}, {route.action or "x": None}, {route.action or "x": [1]}):
                reply = await cloud.call(method, path, body, who="admin")
                assert 400 <= reply.status_code < 500 or reply.status_code in (200, 202), (
                    route,
                    body,
                    reply.text,
                )


async def test_what_came_later_does_not_exist_before(cloud: Cloud) -> None:
    for route in cloud.service.table.routes:
        if route.since > (3, 0):
            before = f"{route.since[0]}.{route.since[1] - 1}"
            reply = await cloud.call(*asked(route), version=before, who="admin")
            assert reply.status_code == 404, route


@ON_SQLITE
@pytest.mark.parametrize(
    ("version", "status"), [("3.72", 406), ("2.9", 406), ("x", 400), ("latest", 200), (None, 200)]
)
async def test_versions_are_negotiated(cloud: Cloud, version: str | None, status: int) -> None:
    reply = await cloud.call("GET", "/volumes", version=version)
    assert reply.status_code == status
    if status == 200:
        said = {None: "volume 3.0", "latest": "volume 3.71"}[version]
        assert reply.headers["openstack-api-version"] == said
        assert reply.headers["vary"] == "OpenStack-API-Version"
        assert reply.headers["x-openstack-request-id"].startswith("req-")


@ON_SQLITE
@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("volumev3 3.27", "3.27"),
        ("volumev2 3.27", "3.27"),
        ("compute 2.1,volumev3 3.30", "3.30"),
        ("volumev3 3.30,volume 3.27", "3.30"),
        ("volume 3.27, volume 3.30", "3.27"),
        ("  volume   3.27 ,", "3.27"),
        ("volumev3 latest", "3.71"),
        ("volumev3 3.999", 406),
        ("volume 3." + "9" * 5000, 406),
        ("volumev3 x", 400),
        ("volume 3.027", 400),
        ("volume", 400),
        ("volume 3.27 3.30", 400),
        ("block-storage 3.27", 400),
        ("VOLUME 3.27", 400),
        ("compute 2.1", 400),
        ("3.27", 400),
        ("", 400),
    ],
)
async def test_the_first_mention_of_the_service_says_the_version(
    cloud: Cloud, header: str, answer: str | int
) -> None:
    reply = await cloud.call("GET", "/volumes", version=None, headers={"OpenStack-API-Version": header})
    if isinstance(answer, int):
        assert reply.status_code == answer, reply.text
    else:
        assert reply.headers["openstack-api-version"] == f"volume {answer}"


@ON_SQLITE
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path", ["/volumes/", "/volumes//", "//volumes", "/volumes//detail", f"/{PROJECT}/volumes/"]
)
async def test_a_path_with_an_empty_part_names_nothing(cloud: Cloud, method: str, path: str) -> None:
    reply = await cloud.call(method, path, {"volume": {"size": 1}})
    assert reply.status_code == 404
    assert (await cloud.call("GET", "/")).status_code == (await cloud.call("GET", "")).status_code == 200


@ON_SQLITE
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=UTF-8", 202),
        ("application/vnd.openstack.volume+json", 202),
        ("text/plain", 415),
        ("application/xml", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_body_is_json_and_says_so(cloud: Cloud, kind: str, status: int) -> None:
    reply = await cloud.call("POST", "/volumes", {"volume": {"size": 1}}, headers={"Content-Type": kind})
    assert reply.status_code == status


async def test_others_volumes_do_not_exist(cloud: Cloud) -> None:
    volume_id = (await cloud.make())["id"]
    body = {"attachment": {"volume_uuid": volume_id}}
    snapshot = {"snapshot": {"volume_id": volume_id}}
    tried = [
        await cloud.call("GET", f"/volumes/{volume_id}", who="other"),
        await cloud.call("PUT", f"/volumes/{volume_id}", {"volume": {"name": "x"}}, who="other"),
        await cloud.call("DELETE", f"/volumes/{volume_id}", who="other"),
        await cloud.call("GET", f"/volumes/{volume_id}/metadata", who="other"),
        await cloud.act(volume_id, "os-reserve", who="other"),
        await cloud.act(volume_id, "os-extend", {"new_size": 5}, who="other"),
        await cloud.call("POST", "/attachments", body, who="other"),
        await cloud.call("POST", "/snapshots", snapshot, who="other"),
        await cloud.call("POST", "/volumes", {"volume": {"source_volid": volume_id}}, who="other"),
    ]
    for reply in tried:
        assert reply.status_code == 404, reply.text
        assert reply.json()["itemNotFound"]["message"] == f"Volume {volume_id} could not be found."
    listed = await cloud.call("GET", "/volumes?all_tenants=1", who="other")
    assert listed.json() == {"volumes": []}
    quota = await cloud.call("GET", f"/os-quota-sets/{OTHER_PROJECT}")
    assert quota.status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/os-services/failover", {"host": "x"}, 404),
    ],
)
async def test_what_is_not_part_of_this_version_says_so_and_what_to_do_instead(
    cloud: Cloud, method: str, path: str, body: object, status: int
) -> None:
    reply = await cloud.call(method, path, body, who="admin")
    assert reply.status_code == status, reply.text
    assert "not part of this version of Pumice: " in reply.text


async def test_what_came_later_says_since_when(cloud: Cloud) -> None:
    reply = await cloud.call("GET", "/messages", version=None)
    assert "since 3.3" in reply.json()["itemNotFound"]["message"]

"""What clients may not ask: wrong roles, wrong words, other projects' things. Never a 500."""

from typing import Any

import pytest
from compute_cloud import PROJECTS, Cloud

from databases import ON_SQLITE
from pumice.api.policy import ANYBODY, OWN
from pumice.api.routing import Route
from pumice.model.ids import new_id

GONE = "00000000-0000-4000-8000-000000000000"


def version_of(route: Route) -> str:
    """One that has the route."""
    major, minor = min(route.until, (2, 80))
    return f"{major}.{minor}"


async def test_every_route_refuses_who_has_no_role(cloud: Cloud) -> None:
    for route in cloud.service.table.routes:
        if route.rule is None or route.rule.check in (ANYBODY, OWN):
            continue
        path = route.path.removeprefix("/v2.1").replace("{project_id}", PROJECTS["ours"])
        for name in ("id", "volume_id", "key", "tag", "request_id"):
            path = path.replace(f"{{{name}}}", GONE)
        body = {route.action: None} if route.action else None
        answer = await cloud.ask(route.method, path, body, caller="nobody", version=version_of(route))
        assert answer.status_code == 403, (route, answer.text)


async def test_every_changing_route_refuses_a_reader(cloud: Cloud) -> None:
    for route in cloud.service.table.routes:
        if route.method == "GET":
            continue
        path = route.path.removeprefix("/v2.1")
        for name in ("id", "volume_id", "key", "tag"):
            path = path.replace(f"{{{name}}}", GONE)
        body = {route.action: None} if route.action else None
        answer = await cloud.ask(route.method, path, body, caller="reader", version=version_of(route))
        assert answer.status_code == 403, (route, answer.text)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/os-services"),
        ("GET", "/os-hypervisors"),
        ("GET", "/os-hypervisors/detail"),
        ("GET", "/os-availability-zone/detail"),
        ("GET", "/servers/detail?all_tenants=1"),
        ("GET", "/servers?all_tenants=1"),
        ("POST", "/flavors"),
        ("DELETE", "/flavors/42"),
    ],
)
async def test_what_is_for_administrators_refuses_members(cloud: Cloud, method: str, path: str) -> None:
    assert (await cloud.ask(method, path)).status_code == 403
    assert (await cloud.ask(method, path, caller="admin")).status_code != 403


async def test_nobody_comes_in_without_a_token(cloud: Cloud) -> None:
    answer = await cloud.ask("GET", "/servers", caller="expired")
    assert (answer.status_code, list(answer.json())) == (401, ["unauthorized"])


async def test_other_projects_see_nothing_of_a_server(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    theirs = await cloud.volume(caller="stranger")
    for method, path, body in (
        ("GET", f"/servers/{server_id}", None),
        ("PUT", f"/servers/{server_id}", {"server": {"name": "mine"}}),
        ("DELETE", f"/servers/{server_id}", None),
        ("POST", f"/servers/{server_id}/action", {"os-stop": None}),
        ("POST", f"/servers/{server_id}/action", {"os-getConsoleOutput": {}}),
        ("GET", f"/servers/{server_id}/metadata", None),
        ("GET", f"/servers/{server_id}/tags", None),
        ("GET", f"/servers/{server_id}/os-instance-actions", None),
        ("GET", f"/servers/{server_id}/os-volume_attachments", None),
        (
            "POST",
            f"/servers/{server_id}/os-volume_attachments",
            {"volumeAttachment": {"volumeId": theirs}},
        ),
        ("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}", None),
    ):
        answer = await cloud.ask(method, path, body, caller="stranger")
        assert answer.status_code == 404, (method, path, answer.text)
    assert (await cloud.get("/servers", caller="stranger"))["servers"] == []
    mine = await cloud.ask(
        "POST", f"/servers/{server_id}/os-volume_attachments", {"volumeAttachment": {"volumeId": theirs}}
    )
    assert mine.status_code == 404
    boot = cloud.body(block_device_mapping_v2=[cloud.from_volume(theirs)])
    assert (await cloud.ask("POST", "/servers", boot)).status_code == 400


BAD_SERVERS: list[dict[str, Any]] = [
    {},
    {"server": None},
    {"server": []},
    {"server": {}},
    {"server": {"name": "one"}},
    {"server": {"name": "", "flavorRef": "42", "networks": "none"}},
    {"server": {"name": " one", "flavorRef": "42", "networks": "none"}},
    {"server": {"name": "x" * 256, "flavorRef": "42", "networks": "none"}},
    {"server": {"name": 7, "flavorRef": "42", "networks": "none"}},
    {"server": {"name": "one", "flavorRef": "no such", "imageRef": GONE, "networks": "none"}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none"}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": ""}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": "x"}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": GONE}},
    {"server": {"name": "one", "flavorRef": "42", "imageRef": GONE}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "some", "imageRef": GONE}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": GONE, "colour": "red"}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": GONE, "min_count": 0}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": GONE, "max_count": 10**12}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": GONE, "user_data": "%"}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "metadata": {"a": 1}}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "tags": ["a/b"]}},
    {"server": {"name": "one", "flavorRef": "42", "networks": "none", "accessIPv4": "here"}},
    {"more": 1, "server": {"name": "one", "flavorRef": "42", "networks": "none", "imageRef": GONE}},
]


@ON_SQLITE
@pytest.mark.parametrize("number", range(len(BAD_SERVERS)))
async def test_a_create_that_makes_no_sense_is_400(cloud: Cloud, number: int) -> None:
    answer = await cloud.ask("POST", "/servers", BAD_SERVERS[number])
    assert answer.status_code == 400, answer.text
    assert answer.json()["badRequest"]["message"]


VOLUME = {"source_type": "volume", "destination_type": "volume", "uuid": GONE, "boot_index": 0}
BLANK = {"source_type": "blank", "destination_type": "volume", "volume_size": 1}
BAD_DEVICES: list[list[Any]] = [
    [{}],
    [7],
    [{"source_type": "volume"}],
    [VOLUME],
    [VOLUME | {"uuid": "x y"}],
    [VOLUME | {"boot_index": 1}],
    [VOLUME | {"boot_index": "first"}],
    [VOLUME | {"boot_index": None}],
    [VOLUME | {"source_type": "tape"}],
    [VOLUME | {"destination_type": "local"}],
    [VOLUME | {"volume_type": "lvm"}],
    [VOLUME | {"disk_bus": "floppy"}],
    [VOLUME | {"colour": "red"}],
    [VOLUME | {"tag": "a,b"}],
    [VOLUME, VOLUME],
    [BLANK | {"boot_index": 0}],
    [BLANK | {"uuid": GONE, "boot_index": 0}],
    [BLANK | {"volume_size": 0, "boot_index": 0}],
    [BLANK | {"volume_size": 10**12, "boot_index": 0}],
    [BLANK | {"volume_size": "much", "boot_index": 0}],
    [BLANK | {"destination_type": "local", "boot_index": 0}],
    [BLANK | {"destination_type": "local", "guest_format": "swap", "boot_index": 0}],
    [{"source_type": "image", "destination_type": "volume", "uuid": GONE, "boot_index": 0}],
    [{"source_type": "image", "destination_type": "volume", "uuid": GONE, "boot_index": 0, "volume_size": 1}],
    [{"source_type": "image", "destination_type": "local", "uuid": GONE, "boot_index": 0}],
    [{"source_type": "snapshot", "destination_type": "volume", "uuid": GONE, "boot_index": 0}],
]


@ON_SQLITE
@pytest.mark.parametrize("number", range(len(BAD_DEVICES)))
async def test_a_mapping_that_makes_no_sense_is_400(cloud: Cloud, number: int) -> None:
    answer = await cloud.ask("POST", "/servers", cloud.body(block_device_mapping_v2=BAD_DEVICES[number]))
    assert answer.status_code == 400, answer.text
    assert (await cloud.get("/servers"))["servers"] == []


async def test_a_server_boots_only_from_what_is_bootable(cloud: Cloud) -> None:
    volume_id = await cloud.volume()
    answer = await cloud.ask(
        "POST", "/servers", cloud.body(block_device_mapping_v2=[cloud.from_volume(volume_id)])
    )
    assert answer.status_code == 400
    assert "is not bootable" in answer.json()["badRequest"]["message"]
    assert await cloud.volume_status(volume_id) == "available"


async def test_an_image_must_fit_into_the_flavor(cloud: Cloud) -> None:
    for attributes in ({"min_disk": 2}, {"min_ram": 1024}):
        answer = await cloud.ask("POST", "/servers", cloud.body(await cloud.image(**attributes)))
        assert answer.status_code == 400
        assert "too small" in answer.text


BAD_ATTACHMENTS: list[tuple[Any, int]] = [
    ({}, 400),
    ({"volumeAttachment": {}}, 400),
    ({"volumeAttachment": {"volumeId": "x"}}, 400),
    ({"volumeAttachment": {"volumeId": None}}, 400),
    ({"volumeAttachment": {"volumeId": GONE}}, 404),
    ({"volumeAttachment": {"volumeId": GONE, "device": "vdb"}}, 400),
    ({"volumeAttachment": {"volumeId": GONE, "device": "/dev/vd b"}}, 400),
    ({"volumeAttachment": {"volumeId": GONE, "tag": ""}}, 400),
    ({"volumeAttachment": {"volumeId": GONE, "colour": "red"}}, 400),
    ({"volumeAttachment": {"volumeId": GONE, "delete_on_termination": "perhaps"}}, 400),
]


async def test_an_attach_that_makes_no_sense_is_refused(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    path = f"/servers/{server_id}/os-volume_attachments"
    for body, status in BAD_ATTACHMENTS:
        answer = await cloud.ask("POST", path, body)
        assert answer.status_code == status, (body, answer.text)
    for version, key in (("2.48", "tag"), ("2.78", "delete_on_termination")):
        body = {"volumeAttachment": {"volumeId": volume_id, key: "true"}}
        assert (await cloud.ask("POST", path, body, version=version)).status_code == 400


@pytest.mark.parametrize("wish", ["/dev/vdd", "/dev/sdb", "/dev/vda", "/dev/xvdf", None])
async def test_a_disk_has_the_next_name_whatever_was_wished(cloud: Cloud, wish: str | None) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    answered = await cloud.attach(server_id, volume_id, **({"device": wish} if wish else {}))
    assert answered["device"] == "/dev/vdb"


async def test_the_root_volume_stays(cloud: Cloud) -> None:
    volume_id = await cloud.volume(bootable=True)
    server_id = await cloud.server(block_device_mapping_v2=[cloud.from_volume(volume_id)])
    answer = await cloud.ask("DELETE", f"/servers/{server_id}/os-volume_attachments/{volume_id}")
    assert (answer.status_code, "root device" in answer.text) == (400, True)


async def test_a_locked_server_moves_for_administrators_only(cloud: Cloud) -> None:
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.post(f"/servers/{server_id}/action", {"lock": None})
    assert (await cloud.get(f"/servers/{server_id}"))["server"]["locked"] is True
    body = {"volumeAttachment": {"volumeId": volume_id}}
    refused = [
        await cloud.ask("POST", f"/servers/{server_id}/os-volume_attachments", body),
        await cloud.ask("POST", f"/servers/{server_id}/action", {"os-stop": None}),
        await cloud.ask("DELETE", f"/servers/{server_id}"),
    ]
    assert [answer.status_code for answer in refused] == [409, 409, 409]
    await cloud.post(f"/servers/{server_id}/action", {"unlock": None})
    await cloud.post(f"/servers/{server_id}/action", {"os-stop": None})


@ON_SQLITE
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"fly": None}, 400),
        ({"os-start": None, "os-stop": None}, 400),
        ({"os-start": None}, 409),
        ({"reboot": {}}, 400),
        ({"reboot": {"type": "WARM"}}, 400),
        ({"os-getConsoleOutput": {"length": "many"}}, 400),
        ({"os-getConsoleOutput": {"length": -2}}, 400),
        ({"lock": {"locked_reason": ""}}, 400),
        ({"createImage": {"name": "x"}}, 501),
    ],
)
async def test_an_action_that_makes_no_sense_is_refused(cloud: Cloud, body: Any, status: int) -> None:
    server_id = await cloud.server()
    answer = await cloud.ask("POST", f"/servers/{server_id}/action", body)
    assert answer.status_code == status, answer.text


@ON_SQLITE
@pytest.mark.parametrize(
    "query",
    [
        "limit=x", "limit=-1", f"marker={GONE}", "sort_key=colour", "sort_dir=sideways", "changes-since=lately",
        "status=SLEEPY", "colour=red", "all_tenants=perhaps", "locked=perhaps",
    ],
)  # fmt: skip
async def test_a_list_that_makes_no_sense_is_400(cloud: Cloud, query: str) -> None:
    assert (await cloud.ask("GET", f"/servers/detail?{query}")).status_code == 400


@ON_SQLITE
@pytest.mark.parametrize(
    "flavor",
    [
        {"name": "x", "ram": 1, "vcpus": 1},
        {"name": "x", "ram": 0, "vcpus": 1, "disk": 0},
        {"name": "x", "ram": 10**12, "vcpus": 1, "disk": 0},
        {"name": "x", "ram": 1, "vcpus": 1, "disk": -1},
        {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "id": " x"},
        {"name": "x" * 256, "ram": 1, "vcpus": 1, "disk": 1},
        {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "colour": "red"},
        {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "rxtx_factor": 0},
    ],
)
async def test_a_flavor_that_makes_no_sense_is_400(cloud: Cloud, flavor: Any) -> None:
    answer = await cloud.ask("POST", "/flavors", {"flavor": flavor}, caller="admin")
    assert answer.status_code == 400, answer.text


async def test_unknown_things_are_404(cloud: Cloud) -> None:
    server_id = await cloud.server()
    for path in (
        "/nothing",
        f"/servers/{new_id()}",
        "/servers/not-an-id",
        "/flavors/none",
        "/flavors/42/os-extra_specs/none",
        f"/servers/{server_id}/metadata/none",
        f"/servers/{server_id}/tags/none",
        f"/servers/{server_id}/os-volume_attachments/{new_id()}",
        f"/servers/{server_id}/os-instance-actions/req-none",
    ):
        answer = await cloud.ask("GET", path)
        assert answer.status_code == 404, (path, answer.text)
    assert (await cloud.ask("GET", "/servers", version="2.105")).status_code == 406
    assert (await cloud.ask("GET", "/servers", version="x")).status_code == 400
    assert (await cloud.ask("GET", f"/{new_id().replace('-', '')}/servers")).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "key", "said"),
    [
        ("PUT", "/servers/SERVER", "server", {"name": "n"}),
        ("POST", "/servers/SERVER/os-volume_attachments", "volumeAttachment", {"volumeId": new_id()}),
        ("POST", "/flavors", "flavor", {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}),
        ("PUT", "/flavors/42", "flavor", {"description": "d"}),
    ],
)
async def test_what_stands_beside_the_object_asked_for_is_not_dropped(
    cloud: Cloud, method: str, path: str, key: str, said: Any
) -> None:
    body = {key: said, "os:scheduler_hints": {"group": new_id()}}
    answer = await cloud.ask(method, path.replace("SERVER", await cloud.server()), body, caller="admin")
    assert answer.status_code == 400
    told = answer.json()["badRequest"]["message"]
    assert told == "Additional properties are not allowed ('os:scheduler_hints' was unexpected)."

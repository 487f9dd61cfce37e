"""No request is accepted whose wish is dropped: what may be said of a server is kept, done, or refused."""

from typing import Any

import pytest
from compute_cloud import Cloud

from databases import ON_SQLITE
from pumice.api.compute.block_devices import BlockDevice
from pumice.api.compute.server_body import CreateBody, ServerBody, UpdateBody
from pumice.model.ids import new_id
from pumice.store import volumes

pytestmark = ON_SQLITE

SHOWN: dict[str, tuple[Any, Any]] = {
    "name": ("two", "two"),
    "description": ("d", "d"),
    "metadata": ({"k": "v"}, {"k": "v"}),
    "tags": (["t"], ["t"]),
    "accessIPv4": ("192.0.2.7", "192.0.2.7"),
    "accessIPv6": ("2001:0DB8:0:0:0:0:0.0.0.7", "2001:db8::7"),
    "OS-DCF:diskConfig": ("MANUAL", "MANUAL"),
}
"""What a create says and show tells again: the value, and how it is told."""
REFUSED: dict[str, Any] = {
    "networks": [{"uuid": new_id()}],
    "key_name": "mine",
    "user_data": "aGVsbG8=",
    "config_drive": True,
    "security_groups": [{"name": "mine"}],
    "host": "here",
    "hypervisor_hostname": "here",
    "trusted_image_certificates": ["c"],
    "personality": [{"path": "/x", "contents": ""}],
    "min_count": 2,
    "max_count": 2,
    "availability_zone": "nowhere",
}
DONE = {
    "flavorRef",  # the machine's size
    "imageRef",
    "block_device_mapping",
    "block_device_mapping_v2",
    "return_reservation_id",  # the answer's shape
    "adminPass",  # told back; as with Nova's libvirt driver nobody sets it in the guest
    "hostname",  # below
}


def wire_names(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


async def test_every_word_of_a_server_is_accounted_for(cloud: Cloud) -> None:
    assert wire_names(ServerBody) == SHOWN.keys() | REFUSED.keys() | DONE
    assert wire_names(CreateBody) == {"server", "os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"}
    assert wire_names(UpdateBody) <= SHOWN.keys() | {"hostname", "pinned_availability_zone"}


async def test_what_is_said_of_a_server_is_told_again(cloud: Cloud) -> None:
    said = {name: value for name, (value, _) in SHOWN.items()} | {"hostname": "mine"}
    body = cloud.body(await cloud.image(), **said) | {"os:scheduler_hints": {"mine": "x"}}
    made = await cloud.post("/servers", body, version="2.104")
    path = f"/servers/{made['server']['id']}"
    shown = (await cloud.get(path, version="2.104"))["server"]
    assert {name: shown[name] for name in SHOWN} == {name: told for name, (_, told) in SHOWN.items()}
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "mine"
    assert shown["scheduler_hints"] == {"mine": "x"}
    changes = {"accessIPv4": "192.0.2.8", "hostname": "yours", "OS-DCF:diskConfig": "AUTO", "description": "e"}
    changed = (await cloud.ask("PUT", path, {"server": changes}, version="2.104")).json()["server"]
    assert changed["OS-EXT-SRV-ATTR:hostname"] == "yours"
    assert {name: changed[name] for name in changes if name != "hostname"} == {
        name: value for name, value in changes.items() if name != "hostname"
    }
    assert changed["accessIPv6"] == "2001:db8::7"


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_not_done_is_refused_in_a_sentence(cloud: Cloud, name: str) -> None:
    version = "2.56" if name == "personality" else "2.104"
    body = cloud.body(await cloud.image(), **{name: REFUSED[name]})
    answer = await cloud.ask("POST", "/servers", body, version=version)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["badRequest"]["message"]) > 30


async def test_what_asks_for_nothing_is_accepted(cloud: Cloud) -> None:
    nothing = {"networks": [], "security_groups": [{"name": "default"}], "config_drive": False, "min_count": 1}
    await cloud.post("/servers", cloud.body(await cloud.image(), **nothing))


@pytest.mark.parametrize(
    "wish",
    [{"disk_bus": "scsi"}, {"device_type": "cdrom"}, {"guest_format": "ext4"}, {"disk_bus": "nonsense"}],
)
async def test_a_disk_that_would_be_another_is_refused(cloud: Cloud, wish: dict[str, str]) -> None:
    assert wish.keys() <= BlockDevice.model_fields.keys()
    device = cloud.from_volume(await cloud.volume(bootable=True), **wish)
    answer = await cloud.ask("POST", "/servers", cloud.body(block_device_mapping_v2=[device]))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"networks": "auto"}, 202),
        ({"networks": "none"}, 202),
        ({"accessIPv4": "2001:db8::7"}, 400),
        ({"accessIPv6": "192.0.2.7"}, 400),
        ({"accessIPv4": "", "accessIPv6": ""}, 202),
    ],
)
async def test_addresses_are_of_their_kind_and_no_network_is_made(
    cloud: Cloud, wish: dict[str, str], status: int
) -> None:
    answer = await cloud.ask("POST", "/servers", cloud.body(await cloud.image(), **wish))
    assert (answer.status_code, status == 202 or len(answer.json()["badRequest"]["message"]) > 30) == (
        status,
        True,
    )


async def test_a_server_has_128_items_of_metadata_at_most_by_whatever_door(cloud: Cloud) -> None:
    many = {str(number): "x" for number in range(129)}
    server = await cloud.server()
    for path, body in (
        ("/servers", cloud.body(await cloud.image(), metadata=many)),
        (f"/servers/{server}/metadata", {"metadata": many}),
    ):
        answer = await cloud.ask("POST", path, body)
        assert (answer.status_code, "exceeds 128" in answer.text) == (403, True), answer.text


async def test_a_group_of_servers_is_refused(cloud: Cloud) -> None:
    body = cloud.body(await cloud.image()) | {"os:scheduler_hints": {"group": new_id()}}
    assert (await cloud.ask("POST", "/servers", body)).status_code == 400


async def test_a_server_is_pinned_to_the_zone_that_it_was_asked_for_in_or_to_none(cloud: Cloud) -> None:
    pin = "pinned_availability_zone"

    async def pins(zone: str | None) -> tuple[int, str | None]:
        answer = await cloud.ask("PUT", f"/servers/{server}", {"server": {pin: zone}}, version="2.104")
        shown = await cloud.get(f"/servers/{server}", version="2.96")
        return answer.status_code, shown["server"][pin]

    server = await cloud.server()
    assert (await cloud.get(f"/servers/{server}", version="2.96"))["server"][pin] is None
    server = await cloud.server(availability_zone="nova")
    assert (await cloud.get(f"/servers/{server}", version="2.96"))["server"][pin] == "nova"
    assert await pins("other") == (409, "nova"), "it has to be unpinned first"
    assert await pins("nova") == (200, "nova")
    assert await pins(None) == (200, None)
    assert await pins("other") == (409, None), "it is elsewhere"
    assert await pins("nova") == (200, "nova")


@pytest.mark.parametrize("key", ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"])
@pytest.mark.parametrize("hint", ["different_host", "same_host", "query", "build_near_host_ip", "target_cell"])
async def test_a_hint_that_chooses_a_host_is_refused(cloud: Cloud, key: str, hint: str) -> None:
    body = cloud.body(await cloud.image()) | {key: {hint: [new_id()]}}
    answer = await cloud.ask("POST", "/servers", body)
    assert (answer.status_code, f"The hint {hint} is not" in answer.text) == (400, True), answer.text
    await cloud.post("/servers", cloud.body(await cloud.image()) | {key: {hint: []}})


async def test_descriptions_have_255_characters_at_most(cloud: Cloud) -> None:
    server = await cloud.server()
    for length, status in ((255, 200), (256, 400)):
        body = {"server": {"description": "x" * length}}
        assert (await cloud.ask("PUT", f"/servers/{server}", body)).status_code == status


async def test_an_image_vouches_for_a_volume_that_is_not_bootable(cloud: Cloud) -> None:
    device = cloud.from_volume(await cloud.volume())
    image = await cloud.image()
    body = cloud.body(image, block_device_mapping_v2=[device])
    assert (await cloud.ask("POST", "/servers", body)).status_code == 202
    body = cloud.body(block_device_mapping_v2=[cloud.from_volume(await cloud.volume())])
    assert (await cloud.ask("POST", "/servers", body)).status_code == 400


async def test_limits_and_paths_are_those_of_their_version(cloud: Cloud) -> None:
    absolute = (await cloud.get("/limits", version="2.56"))["limits"]["absolute"]
    assert (absolute["maxPersonality"], absolute["maxPersonalitySize"]) == (5, 10240)
    assert "maxPersonality" not in (await cloud.get("/limits", version="2.57"))["limits"]["absolute"]
    (service,) = (await cloud.get("/os-services", caller="admin", version="2.52"))["services"]
    which = {"host": service["host"], "binary": service["binary"]}
    for path, more in (("disable", {}), ("enable", {}), ("force-down", {"forced_down": False})):
        for version, status in (("2.52", 200), ("2.53", 404)):
            answer = await cloud.ask(
                "PUT", f"/os-services/{path}", which | more, caller="admin", version=version
            )
            assert answer.status_code == status, (path, version, answer.text)


async def test_an_extra_spec_of_a_flavor_is_set_by_its_key(cloud: Cloud) -> None:
    flavor = {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0, "id": "f"}}
    await cloud.post("/flavors", flavor, expect=200, caller="admin")
    path = "/flavors/f/os-extra_specs"
    for value in ("one", "two"):
        answer = await cloud.ask("PUT", f"{path}/k", {"k": value}, caller="admin")
        assert (answer.status_code, answer.json()) == (200, {"k": value})
    assert (await cloud.get(path))["extra_specs"] == {"k": "two"}
    for body in ({"other": "x"}, {"k": "x", "other": "x"}, {}):
        assert (await cloud.ask("PUT", f"{path}/k", body, caller="admin")).status_code == 400
    assert (await cloud.ask("PUT", f"{path}/k", {"k": "x"})).status_code == 403


async def test_a_flavor_keeps_its_rxtx_factor_and_a_lock_its_reason(cloud: Cloud) -> None:
    flavor = {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0, "id": "f", "rxtx_factor": 2.5}}
    made = await cloud.post("/flavors", flavor, expect=200, caller="admin")
    assert made["flavor"]["rxtx_factor"] == 2.5
    assert (await cloud.get("/flavors/f"))["flavor"]["rxtx_factor"] == 2.5
    server = await cloud.server()
    await cloud.post(f"/servers/{server}/action", {"lock": {"locked_reason": "because"}})
    assert (await cloud.get(f"/servers/{server}"))["server"]["locked_reason"] == "because"
    await cloud.post(f"/servers/{server}/action", {"unlock": None})
    assert (await cloud.get(f"/servers/{server}"))["server"]["locked_reason"] is None
    await cloud.post(f"/servers/{server}/action", {"lock": {}}, version="2.1")


@pytest.mark.parametrize("bus", ["virtio", "scsi"])
async def test_an_image_that_asks_for_another_bus_is_refused_by_whatever_door(cloud: Cloud, bus: str) -> None:
    image = await cloud.image(properties={"hw_disk_bus": bus})
    copied = {"source_type": "image", "destination_type": "volume", "uuid": image, "volume_size": 1}
    volume = await cloud.volume(bootable=True)
    await cloud.db.write(volumes.change, volume, image_metadata={"hw_disk_bus": bus})
    snapshot = {**cloud.from_volume(await cloud.snapshot(volume)), "source_type": "snapshot"}
    for asked in (
        cloud.body(image),
        cloud.body(block_device_mapping_v2=[{**copied, "boot_index": 0}]),
        cloud.body(block_device_mapping_v2=[snapshot]),
        cloud.body(block_device_mapping_v2=[cloud.from_volume(volume)]),
    ):
        answer = await cloud.ask("POST", "/servers", asked)
        assert answer.status_code == (202 if bus == "virtio" else 400), answer.text
        assert bus == "virtio" or "hw_disk_bus is 'scsi'" in answer.text
    await cloud.until_quiet()


async def test_a_flavor_does_not_promise_limits_of_disks(cloud: Cloud) -> None:
    key = "quota:disk_total_iops_sec"
    for method, path, body in (
        ("POST", "/flavors/42/os-extra_specs", {"extra_specs": {"a": "b", key: "10"}}),
        ("PUT", f"/flavors/42/os-extra_specs/{key}", {key: "10"}),
    ):
        answer = await cloud.ask(method, path, body, caller="admin")
        assert (answer.status_code, "QoS specs" in answer.text) == (400, True)
    assert (await cloud.get("/flavors/42/os-extra_specs"))["extra_specs"] == {}

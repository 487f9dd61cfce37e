"""What an image or a flavor asks of a machine is not dropped: it is done, is so already, or is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from compute_cloud import Cloud
from test_hardware_words import NOVAS_SPECS

from databases import ON_SQLITE
from pumice.api.compute.hardware_words import ALREADY, DONE, NO_EFFECT, Word
from pumice.hypervisor import domain_xml
from pumice.hypervisor.accelerator import Accelerator
from pumice.model.hardware import Hardware
from pumice.model.ids import new_id
from pumice.servers.machine import machine_of
from pumice.store import images, volumes

pytestmark = ON_SQLITE

MADE: Mapping[str, tuple[str, str]] = {
    "hw_cpu_cores": ("2", "cpu/topology[@cores='2'][@sockets='2']"),
    "hw_cpu_max_cores": ("1", "cpu/topology[@cores='1'][@sockets='4']"),
    "hw_cpu_max_sockets": ("1", "cpu/topology[@cores='4'][@sockets='1']"),
    "hw_cpu_max_threads": ("1", "cpu/topology[@threads='1']"),
    "hw_cpu_sockets": ("2", "cpu/topology[@cores='2'][@sockets='2']"),
    "hw_cpu_threads": ("2", "cpu/topology[@threads='2'][@sockets='2']"),
    "hw_machine_type": ("Q35", "os/type[@machine='q35']"),
    "hw_vif_model": ("e1000", "e1000,"),
    "hw_watchdog_action": ("RESET", "devices/watchdog[@action='reset']"),
    "os_type": ("windows", "clock[@offset='localtime']"),
    "hw_rng_model": ("virtio", "devices/rng[@model='virtio']"),
    "hw_qemu_guest_agent": ("yes", "devices/channel/target[@name='org.qemu.guest_agent.0']"),
    "hw_time_hpet": ("true", "clock/timer[@name='hpet'][@present='yes']"),
}
"""What is done: a value, and where the machine's XML shows it. The flavor has four vCPUs."""

SEEN = {"hw_rng:allowed"}
"""What is done by leaving something out: see below."""


def xml_of(machine: Any) -> ElementTree.Element:
    xml = domain_xml.machine_xml(machine, Accelerator.TCG, Path("/console.log"))
    return ElementTree.fromstring(xml)  # noqa: S314, it was written here


def shows(domain: ElementTree.Element, where: str) -> bool:
    """Whether a path leads somewhere in the XML, or an argument of QEMU's begins so."""
    arguments = [argument.get("value", "") for argument in domain.findall("{*}commandline/{*}arg")]
    return any(argument.startswith(where) for argument in arguments) or domain.find(where) is not None


def spec_of(name: str) -> str | None:
    """How a flavor says what an image says as ``name``; None: flavors do not say it."""
    scope, _, rest = name.partition("_")
    spec = f"{scope}:{rest}"
    return spec if f" {spec} " in f" {' '.join(NOVAS_SPECS.split())} " else None


def examples(word: Word) -> list[str]:
    """The values that a word takes."""
    assert word.taken is not None
    return [value for value in ("[]", *word.taken.replace("\\", "").split("|")) if word.takes(value)]


async def with_flavor(cloud: Cloud, specs: Mapping[str, str]) -> str:
    flavor = new_id()
    body = {"flavor": {"name": flavor, "id": flavor, "ram": 64, "vcpus": 4, "disk": 1}}
    await cloud.post("/flavors", body, expect=200, caller="admin")
    if specs:
        path = f"/flavors/{flavor}/os-extra_specs"
        await cloud.post(path, {"extra_specs": specs}, expect=200, caller="admin", version="2.85")
    return flavor


async def test_whatever_is_done_is_shown_below(cloud: Cloud) -> None:
    assert MADE.keys() | SEEN == DONE.keys()


@pytest.mark.parametrize("name", MADE)
async def test_what_is_done_is_in_the_guests_machine(cloud: Cloud, name: str) -> None:
    value, where = MADE[name]
    spec = spec_of(name)
    for said in (True, False):
        image = await cloud.image(properties={name: value} if said else {})
        flavor = await with_flavor(cloud, {})
        server = await cloud.server_of(image, flavor)
        assert shows(xml_of(await machine_of(cloud.drivers, server)), where) is said
    if spec is not None:
        server = await cloud.server_of(await cloud.image(), await with_flavor(cloud, {spec: value}))
        assert shows(xml_of(await machine_of(cloud.drivers, server)), where)


@pytest.mark.parametrize("name", ALREADY)
async def test_what_would_be_dropped_is_refused_by_name(cloud: Cloud, name: str) -> None:
    flavor = await with_flavor(cloud, {})
    spec = spec_of(name) or ("hide_hypervisor_id" if name == "hide_hypervisor_id" else None)
    for value in ("nonsense", *examples(ALREADY[name])):
        status = 400 if value == "nonsense" else 202
        image = await cloud.image(properties={name: value})
        answer = await cloud.ask("POST", "/servers", cloud.body(image, flavorRef=flavor))
        assert answer.status_code == status, (value, answer.text)
        assert status == 202 or f"The image's {name} is 'nonsense'" in answer.text
        if spec:
            other = await with_flavor(cloud, {spec: value})
            answer = await cloud.ask("POST", "/servers", cloud.body(await cloud.image(), flavorRef=other))
            assert answer.status_code == status, (value, answer.text)
            assert status == 202 or f"The flavor's {spec} is 'nonsense'" in answer.text
    await cloud.until_quiet()


async def test_what_has_no_effect_keeps_nobody_from_booting(cloud: Cloud) -> None:
    image = await cloud.image(
        properties={**dict.fromkeys(NO_EFFECT, "x"), "mine": "y", "vmware_adaptertype": "z"}
    )
    server = await cloud.server_of(image, await with_flavor(cloud, {"vmware:hw_version": "x", "mine:own": "y"}))
    assert (await machine_of(cloud.drivers, server)).hardware == Hardware()


@pytest.mark.parametrize(
    "spec",
    [
        "trait:CUSTOM_GOLD", "trait1:X", "resources:VCPU", "resources_A:X", "group_policy", "capabilities:x",
        "aggregate_instance_extra_specs:ssd", "ssd", "accel:device_profile", "pci_passthrough:alias",
        "quota:cpu_shares", "quota:vif_inbound_average", "hw:numa_cpus.0", "hw:misspelled", "os:misspelled",
        "hw_rng:rate_bytes",
    ],
)  # fmt: skip
async def test_a_flavor_that_asks_for_other_hosts_or_shares_is_refused(cloud: Cloud, spec: str) -> None:
    flavor = await with_flavor(cloud, {spec: "1"})
    answer = await cloud.ask("POST", "/servers", cloud.body(await cloud.image(), flavorRef=flavor))
    assert (answer.status_code, f"The flavor's {spec} is '1'" in answer.text) == (400, True), answer.text


async def test_a_misspelled_extra_spec_is_refused_when_it_is_set_since_2_86(cloud: Cloud) -> None:
    flavor = await with_flavor(cloud, {})
    for key, value, status in (
        ("hw:misspelled", "1", 400),
        ("hw:cpu_cores", "many", 400),
        ("hw:cpu_policy", "dedicated", 200),
        ("mine:own", "x", 200),
    ):
        for version, expected in (("2.85", 200), ("2.86", status)):
            path, body = f"/flavors/{flavor}/os-extra_specs", {"extra_specs": {key: value}}
            answer = await cloud.ask("POST", path, body, caller="admin", version=version)
            assert answer.status_code == expected, (key, answer.text)


async def test_a_volume_tells_how_much_memory_its_image_needs(cloud: Cloud) -> None:
    volume = await cloud.volume(bootable=True)
    await cloud.db.write(volumes.change, volume, image_metadata={"min_ram": "129"})
    body = cloud.body(block_device_mapping_v2=[cloud.from_volume(volume)])
    answer = await cloud.ask("POST", "/servers", body)
    assert (answer.status_code, "memory is too small" in answer.text) == (400, True), answer.text
    body["server"]["flavorRef"] = "84"
    assert (await cloud.ask("POST", "/servers", body)).status_code == 202


async def test_an_older_name_of_a_property_counts_as_the_new_one(cloud: Cloud) -> None:
    for name, value in (("architecture", "aarch64"), ("vm_mode", "xen"), ("hypervisor_type", "ironic")):
        image = await cloud.image(properties={name: value})
        answer = await cloud.ask("POST", "/servers", cloud.body(image))
        assert (answer.status_code, f"The image's {name} is" in answer.text) == (400, True)


@pytest.mark.parametrize("wish", [{"swap": 64}, {"OS-FLV-EXT-DATA:ephemeral": 1}])
async def test_a_flavor_with_disks_that_are_not_made_is_refused(cloud: Cloud, wish: dict[str, int]) -> None:
    flavor = {"flavor": {"name": "f", "id": "f", "ram": 64, "vcpus": 1, "disk": 1, **wish}}
    await cloud.post("/flavors", flavor, expect=200, caller="admin")
    answer = await cloud.ask("POST", "/servers", cloud.body(await cloud.image(), flavorRef="f"))
    assert (answer.status_code, "swap or an ephemeral disk" in answer.text) == (400, True)


@pytest.mark.parametrize("door", ["image", "copied", "snapshot", "volume"])
async def test_it_is_asked_by_whatever_door(cloud: Cloud, door: str) -> None:
    wish = {"hw_firmware_type": "uefi"}
    image = await cloud.image(properties=wish)
    volume = await cloud.volume(bootable=True)
    await cloud.db.write(volumes.change, volume, image_metadata=wish)
    copied = {"source_type": "image", "destination_type": "volume", "uuid": image, "volume_size": 1}
    snapshot = {**cloud.from_volume(await cloud.snapshot(volume)), "source_type": "snapshot"}
    asked = {
        "image": cloud.body(image),
        "copied": cloud.body(block_device_mapping_v2=[{**copied, "boot_index": 0}]),
        "snapshot": cloud.body(block_device_mapping_v2=[snapshot]),
        "volume": cloud.body(block_device_mapping_v2=[cloud.from_volume(volume)]),
    }[door]
    answer = await cloud.ask("POST", "/servers", asked)
    assert (answer.status_code, "hw_firmware_type is 'uefi'" in answer.text) == (400, True)


async def test_a_machine_stays_as_it_was_asked_for(cloud: Cloud) -> None:
    image = await cloud.image(properties={"hw_watchdog_action": "pause"})
    server = await cloud.server_of(image, "42")
    await cloud.db.write(images.change, image, {"properties": {"hw_watchdog_action": "reset"}})
    path = f"/servers/{server}"
    assert (await cloud.ask("PUT", path, {"server": {"accessIPv4": "192.0.2.1"}})).status_code == 200
    assert (await machine_of(cloud.drivers, server)).hardware.watchdog == "pause"

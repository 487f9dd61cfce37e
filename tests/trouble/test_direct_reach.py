"""Servers that open their volumes' files themselves: all that goes through a target goes without one."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import libvirt
import pytest
from pumice_process import PumiceProcess, installation
from stories import SERVERS, VOLUMES, Stories
from tests.boot_sector import boot_sector
from tests.bricks import os_brick_connects

from pumice.app.guest_image import GREETING
from pumice.app.tour.run import cache_dir
from pumice.model.units import GIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ATTACHMENTS = "/volume/v3/attachments"
CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:one", "ip": "127.0.0.1"}
SHARE = "nfs.example:/volumes"
LOCAL = pytest.mark.parametrize("cloud", ["local"], indirect=True)
SHARED = pytest.mark.parametrize("cloud", ["shared"], indirect=True)


@pytest.fixture(scope="module")
def cloud(request: pytest.FixtureRequest) -> Iterator[PumiceProcess]:
    """One whose backend has the target that the test names."""
    with installation(PUMICE_COMPUTE__DETACH_SECONDS="20") as pumice:
        pool = {"pool": str(pumice.state_dir / "pool")}
        backend = {"driver": "files", "pools": pool, "target": request.param}
        mounted = {str(pumice.state_dir): SHARE}
        pumice.environment |= {
            "PUMICE_BACKENDS": json.dumps({"files": backend}),
            "PUMICE_SHARED__SHARES": json.dumps(mounted),
            "PUMICE_SHARED__OPTIONS": "vers=4.2",
            "PUMICE_SHARED__MOUNT_POINT_BASE": str(pumice.state_dir / "mounts"),
        }
        pumice.start()
        yield pumice


@pytest.fixture(scope="module")
def direct(cloud: PumiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Stories:
    stories = Stories(cloud)
    stories.upload_guest(tmp_path_factory.mktemp("guest"), cache_dir())
    return stories


@pytest.fixture(scope="module")
def bare(direct: Stories) -> str:
    """An image of a guest that is only to be up, and to be powered off."""
    return direct.upload(boot_sector(), "raw")


def ends(stories: Stories, volume: str, attachment: str) -> None:
    """Delete the attachment, and then the volume."""
    stories.delete(f"{ATTACHMENTS}/{attachment}")
    stories.settled(volume, "available")
    stories.delete(f"{VOLUMES}/{volume}")
    stories.pumice.settle()


def file_of(stories: Stories, volume: str) -> Path:
    return stories.pumice.state_dir / "pool/volumes" / volume


def disks_of(stories: Stories, server: str) -> dict[str, ElementTree.Element]:
    """The disks of a running guest, as libvirt has them, by what the guest reads as their serial numbers."""
    connection = libvirt.open(stories.pumice.libvirtd.uri)
    try:
        domain = ElementTree.fromstring(connection.lookupByUUIDString(server).XMLDesc())  # noqa: S314
    finally:
        connection.close()
    return {disk.findtext("serial") or "": disk for disk in domain.findall("devices/disk")}


def size_seen(stories: Stories, server: str, device: str) -> int:
    connection = libvirt.open(stories.pumice.libvirtd.uri)
    try:
        return int(connection.lookupByUUIDString(server).blockInfo(device)[0])
    finally:
        connection.close()


def write(path: Path) -> subprocess.CompletedProcess[str]:
    """A writer beside the guest, as QEMU is one."""
    words = ["qemu-io", "-f", "raw", "-c", "write 0 512", str(path)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("cloud", ["local", "shared"], indirect=True)
def test_the_four_stories_without_a_target(direct: Stories) -> None:
    pumice = direct.pumice
    root = direct.settled(direct.create(imageRef=direct.image), "available")
    server = direct.boot(root)
    pumice.settle()
    direct.server_is(server, "ACTIVE")
    direct.wait_for_guest(server)

    data = direct.settled(direct.create(), "available")
    direct.attach(server, data)
    direct.settled(data, "in-use")
    pumice.wait(lambda: "PUMICE-GUEST wrote vdb" in direct.console(server), "the guest does not write")
    with file_of(direct, data).open("rb") as file:
        assert file.read(len(GREETING)) == GREETING.encode()
    for volume, disk in disks_of(direct, server).items():
        source, driver = disk.find("source"), disk.find("driver")
        assert disk.get("type") == "file" and source is not None and driver is not None
        assert source.get("file") == str(file_of(direct, volume))
        assert driver.get("cache") == "none"
        assert disk.find("shareable") is None
    assert "lock" in write(file_of(direct, data)).stderr, "two writers"

    assert direct.extend(data, 2) == 202
    direct.settled(data, "in-use")
    assert size_seen(direct, server, "vdb") == 2 * GIB
    wanted = {"volume_id": data, "force": True}
    snapshot = pumice.call("POST", "/volume/v3/snapshots", {"snapshot": wanted})["snapshot"]["id"]
    pumice.settle()
    copy = direct.settled(direct.create(size=2, snapshot_id=snapshot), "available")
    with file_of(direct, copy).open("rb") as file:
        assert file.read(len(GREETING)) == GREETING.encode()

    pumice.call("POST", f"{SERVERS}/{server}/action", {"reboot": {"type": "HARD"}})
    pumice.settle()
    pumice.wait(lambda: direct.boots(server) == 2, "the guest does not boot again", 180)
    assert set(disks_of(direct, server)) == {root, data}
    assert pumice.violations() == []

    pumice.kill("serve")
    pumice.end_daemons()  # the host goes down, and comes back
    pumice.start()
    pumice.wait(lambda: pumice.status(f"{SERVERS}/{server}", "server") == "SHUTOFF", "nobody saw it off")
    direct.start(server, 2)
    assert set(disks_of(direct, server)) == {root, data}

    direct.detach(server, data)
    direct.settled(data, "available")
    assert write(file_of(direct, data)).returncode == 0, "the guest let go"
    direct.delete(f"{SERVERS}/{server}")
    pumice.settle()
    for path in (f"/volume/v3/snapshots/{snapshot}", *(f"{VOLUMES}/{it}" for it in (copy, data, root))):
        direct.delete(path)
        pumice.settle()
        direct.is_gone(path)
    assert not any(file_of(direct, it).exists() for it in (root, data, copy))
    assert pumice.tgtd.pid() is None
    assert pumice.violations() == []


@LOCAL
def test_a_volume_of_several_servers_is_shared_and_a_reader_only_reads(direct: Stories, bare: str) -> None:
    pumice = direct.pumice
    specs = {"extra_specs": {"multiattach": "<is> True"}, "name": "several"}
    pumice.call("POST", "/volume/v3/types", {"volume_type": specs})
    roots = [direct.settled(direct.create(imageRef=bare), "available") for _ in range(2)]
    servers = [direct.boot(root) for root in roots]
    pumice.settle()
    both = direct.settled(direct.create(volume_type="several"), "available")
    read = direct.settled(direct.create(), "available")
    only = {"os-update_readonly_flag": {"readonly": True}}
    pumice.call("POST", f"{VOLUMES}/{read}/action", only)
    for server in servers:
        direct.attach(server, both)
        direct.settled(both, "in-use")
    direct.attach(servers[0], read)
    direct.settled(read, "in-use")
    for server in servers:
        assert disks_of(direct, server)[both].find("shareable") is not None
    assert disks_of(direct, servers[0])[read].find("readonly") is not None
    assert pumice.violations() == []
    for server in servers:
        direct.delete(f"{SERVERS}/{server}")
    pumice.settle()
    for volume in (*roots, both, read):
        direct.delete(f"{VOLUMES}/{volume}")
    pumice.settle()
    assert pumice.violations() == []


@LOCAL
def test_an_encrypted_volume_is_opened_by_qemu_and_grows(direct: Stories, bare: str) -> None:
    pumice = direct.pumice
    kind = direct.encrypted_type()
    root = direct.settled(direct.create(imageRef=bare, volume_type=kind), "available")
    with file_of(direct, root).open("rb") as file:
        assert file.read(6) == b"LUKS\xba\xbe"
    server = direct.boot(root)
    pumice.settle()
    direct.server_is(server, "ACTIVE")
    direct.wait_for_guest(server)
    assert direct.extend(root, 2) == 202
    direct.settled(root, "in-use")
    header = file_of(direct, root).stat().st_size - size_seen(direct, server, "vda")
    assert file_of(direct, root).stat().st_size == 2 * GIB and 0 < header < GIB
    direct.delete(f"{SERVERS}/{server}")
    pumice.settle()
    direct.delete(f"{VOLUMES}/{root}")
    pumice.settle()
    assert pumice.violations() == []


@LOCAL
def test_a_guest_is_held_to_the_qos_of_its_volume(direct: Stories, bare: str) -> None:
    pumice = direct.pumice
    made = {"name": "slow", "consumer": "front-end", "total_iops_sec": "50"}
    specs = pumice.call("POST", "/volume/v3/qos-specs", {"qos_specs": made})["qos_specs"]["id"]
    kind = pumice.call("POST", "/volume/v3/types", {"volume_type": {"name": "slow"}})["volume_type"]["id"]
    pumice.call("GET", f"/volume/v3/qos-specs/{specs}/associate?vol_type_id={kind}")
    root = direct.settled(direct.create(imageRef=bare, volume_type="slow"), "available")
    server = direct.boot(root)
    pumice.settle()
    assert disks_of(direct, server)[root].findtext("iotune/total_iops_sec") == "50"
    direct.delete(f"{SERVERS}/{server}")
    pumice.settle()
    direct.delete(f"{VOLUMES}/{root}")
    pumice.settle()


@LOCAL
def test_the_hosts_own_connector_is_told_the_path_and_another_is_refused(direct: Stories) -> None:
    pumice = direct.pumice
    volume = direct.settled(direct.create(), "available")

    def asked(host: str) -> dict[str, object]:
        return {"attachment": {"volume_uuid": volume, "connector": {**CONNECTOR, "host": host}}}

    refused = pumice.http.post(ATTACHMENTS, json=asked("elsewhere"))
    assert refused.status_code == 400
    assert "the host 'here', which alone can use it; 'elsewhere' cannot" in refused.text
    wanted = {"os-initialize_connection": {"connector": {**CONNECTOR, "host": "elsewhere"}}}
    refused = pumice.http.post(f"{VOLUMES}/{volume}/action", json=wanted)
    assert refused.status_code == 400
    direct.settled(volume, "available")

    link = pumice.call("POST", ATTACHMENTS, asked("here"))["attachment"]
    info = link["connection_info"]
    assert info["driver_volume_type"] == "local"
    assert info["device_path"] == str(file_of(direct, volume))
    assert (info["access_mode"], info["encrypted"], info["qos_specs"]) == ("rw", False, None)
    assert not any("auth" in word for word in info)
    with file_of(direct, volume).open("r+b") as file:
        file.write(b"of this volume..")
    found = {"type": "local", "path": info["device_path"]}
    assert os_brick_connects(info) == (found, b"of this volume..")
    ends(direct, volume, link["id"])


@SHARED
def test_every_host_is_told_what_to_mount_and_os_brick_finds_the_file_there(direct: Stories) -> None:
    """What is mounted already os-brick does not mount again: a directory bound there stands for the NFS.

    A real one is in ``tests/kernel/test_nfs.py``.
    """
    pumice = direct.pumice
    volume = direct.settled(direct.create(), "available")
    wanted = {"volume_uuid": volume, "connector": {**CONNECTOR, "host": "elsewhere"}}
    link = pumice.call("POST", ATTACHMENTS, {"attachment": wanted})["attachment"]
    info = link["connection_info"]
    assert info["driver_volume_type"] == "nfs"
    told = {"export": SHARE, "name": f"pool/volumes/{volume}", "format": "raw", "options": "-o vers=4.2"}
    assert told.items() <= info.items()
    mount_point = Path(info["mount_point_base"]) / hashlib.md5(SHARE.encode()).hexdigest()  # noqa: S324
    mount_point.mkdir(parents=True)
    bound = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"']
    with file_of(direct, volume).open("r+b") as file:
        file.write(b"of this volume..")
    found = {"path": f"{mount_point}/pool/volumes/{volume}"}
    connected = os_brick_connects(info, *bound, str(pumice.state_dir), str(mount_point))
    assert connected == (found, b"of this volume..")
    initialize = {"os-initialize_connection": {"connector": {**CONNECTOR, "host": "elsewhere"}}}
    nested = pumice.call("POST", f"{VOLUMES}/{volume}/action", initialize)["connection_info"]
    assert nested["mount_point_base"] == info["mount_point_base"] and told.items() <= nested["data"].items()
    ends(direct, volume, link["id"])


@SHARED
def test_a_server_whose_file_is_away_stays_off_and_starts_when_it_is_back(direct: Stories, bare: str) -> None:
    """As on a host where the directory is not mounted."""
    pumice = direct.pumice
    root = direct.settled(direct.create(imageRef=bare), "available")
    server = direct.boot(root)
    pumice.settle()
    pumice.call("POST", f"{SERVERS}/{server}/action", {"os-stop": None})
    pumice.settle()
    direct.server_is(server, "SHUTOFF")
    file = file_of(direct, root)
    away = file.rename(file.with_name(f".{root}"))
    pumice.call("POST", f"{SERVERS}/{server}/action", {"os-start": None})
    pumice.settle()
    direct.server_is(server, "SHUTOFF")
    away.rename(file)
    direct.start(server, direct.boots(server))
    direct.delete(f"{SERVERS}/{server}")
    pumice.settle()
    direct.delete(f"{VOLUMES}/{root}")
    pumice.settle()
    assert pumice.violations() == []


@LOCAL
def test_the_doctor_does_not_look_for_what_direct_reach_does_without(direct: Stories) -> None:
    told = direct.pumice.command("doctor", PATH="/usr/bin:/bin").stdout
    assert "tgtd" not in told and "iscsi" not in told, told

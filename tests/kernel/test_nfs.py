"""A shared directory on a real NFS that hangs or becomes stale: it alone suffers.

``pumice serve`` has two backends: one in a directory that is an NFS mounted ``hard``, and one that is well.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from nfs_server import OPTIONS, SHARE, NfsServer, mount, unmount
from tests.bricks import os_brick_connects

from pumice_installation import ATTACHMENTS, VOLUMES, Installation, state_directory

pytestmark = [pytest.mark.kernel, pytest.mark.long, pytest.mark.timeout(1200)]

MOUNTED = Path("/run/nfs-mounted")
POOL = MOUNTED / "pool"
CONNECTOR = {"initiator": "iqn.1993-08.org.debian:01:one", "ip": "127.0.0.1", "host": "elsewhere"}
DEADLINE = 30.0
"""Seconds for a create: longer than an emulated processor takes for one where all is well."""
PROMPT = 15.0
"""What is asked of the backend that is well, and of the API, takes no longer, whatever becomes of the other."""


@pytest.fixture(scope="module")
def server() -> Iterator[NfsServer]:
    server = NfsServer()
    server.begin()
    MOUNTED.mkdir()
    mount(MOUNTED)
    yield server
    unmount(MOUNTED)
    server.end()


@pytest.fixture(scope="module")
def pumice(server: NfsServer) -> Iterator[Installation]:
    with state_directory() as state:
        backends = {
            "nfs": {"target": "shared", "pools": {"pool": str(POOL)}},
            "well": {"target": "local", "pools": {"well": str(state / "well")}},
        }
        pumice = Installation(
            state,
            PUMICE_BACKENDS=json.dumps(backends),
            PUMICE_SHARED__SHARES=json.dumps({str(MOUNTED): SHARE}),
            PUMICE_SHARED__OPTIONS=OPTIONS,
            PUMICE_SHARED__MOUNT_POINT_BASE=str(state / "mounts"),
            PUMICE_COMPUTE__DRIVER="none",
            PUMICE_OPERATIONS__DEADLINES=json.dumps({"volume.create": DEADLINE}),
            PUMICE_REPAIR__GRACE_SECONDS="0",
        )
        pumice.launch("serve")
        try:
            pumice.log_in()
            pumice.make_types("nfs", "well")
            yield pumice
        finally:
            pumice.close()


def down(pumice: Installation) -> list[str]:
    found = pumice.call("GET", "/volume/v3/os-services")["services"]
    return [service["host"] for service in found if service["state"] != "up"]


def made(pumice: Installation, backend: str) -> str:
    volume = pumice.create(volume_type=backend)
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    return volume


def is_served(pumice: Installation) -> None:
    """Both backends are, and nothing is left of what was."""
    pumice.wait(lambda: down(pumice) == [], "it is not up again")
    for volume in (made(pumice, "nfs"), made(pumice, "well")):
        pumice.call("DELETE", f"{VOLUMES}/{volume}")
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")
    for left in pumice.call("GET", VOLUMES)["volumes"]:
        pumice.call("DELETE", f"{VOLUMES}/{left['id']}")
    pumice.settle()
    assert pumice.violations() == []


def the_other_is_well(pumice: Installation) -> None:
    """The API and the other backend answer as promptly as ever, and it alone is down."""
    began = time.monotonic()
    volume = made(pumice, "well")
    pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")
    assert time.monotonic() - began < PROMPT
    assert set(down(pumice)) <= {"here@nfs"}


def test_os_brick_mounts_it_and_finds_the_volumes_bytes(pumice: Installation) -> None:
    volume = made(pumice, "nfs")
    with (POOL / "volumes" / volume).open("r+b") as file:
        file.write(b"of this volume..")
    wanted = {"volume_uuid": volume, "connector": CONNECTOR}
    link = pumice.call("POST", ATTACHMENTS, {"attachment": wanted})["attachment"]
    info = link["connection_info"]
    assert (info["driver_volume_type"], info["export"]) == ("nfs", SHARE)
    mount_point = Path(info["mount_point_base"]) / hashlib.md5(SHARE.encode()).hexdigest()  # noqa: S324
    found, beginning = os_brick_connects(info)
    assert found == {"path": f"{mount_point}/pool/volumes/{volume}"}
    assert beginning == b"of this volume.."
    assert os.path.ismount(mount_point), "it has mounted the share by itself"
    unmount(mount_point)
    pumice.call("DELETE", f"{ATTACHMENTS}/{link['id']}")
    is_served(pumice)


def test_a_server_that_does_not_answer_costs_its_share_alone(pumice: Installation, server: NfsServer) -> None:
    with server.silent():
        hung = [pumice.create(volume_type="nfs") for _ in range(6)]
        the_other_is_well(pumice)
        pumice.wait(lambda: down(pumice) == ["here@nfs"], "it is not told that it is down")
        for volume in hung:
            pumice.becomes(f"{VOLUMES}/{volume}", "volume", "error")
        the_other_is_well(pumice)
        told = pumice.command("doctor", "--json").stdout
        assert f"{POOL} hangs" in told
        health = httpx.get(f"http://127.0.0.1:{pumice.watched}/healthcheck", timeout=PROMPT).json()
        assert "database" not in health.get("unwell", [])
    is_served(pumice)


def test_stale_handles_are_told_and_to_mount_it_anew_heals(pumice: Installation, server: NfsServer) -> None:
    kept = made(pumice, "nfs")
    server.restore()
    stale = pumice.create(volume_type="nfs")
    pumice.becomes(f"{VOLUMES}/{stale}", "volume", "error")
    the_other_is_well(pumice)
    told = ("Stale file handle", "is its storage mounted?")  # the second where the kernel says ENOENT
    pumice.wait(lambda: any(it in pumice.log("serve") for it in told), "it is not said")
    pumice.wait(lambda: down(pumice) == ["here@nfs"], "it is not told that it is down")
    unmount(MOUNTED)
    mount(MOUNTED)
    assert (POOL / "volumes" / kept).exists()
    is_served(pumice)

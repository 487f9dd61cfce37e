"""The four stories on the reference stack: LVM (thin), LIO with CHAP, os-brick; and kill -9 at their steps.

A real ``pumice serve`` on real parts of the kernel. Its hypervisor is the fake one, which remembers machines
and runs none: what a guest would read and write is read and written here, through the device that it is given.
The short form has the drivers do the same by themselves.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from initiators import initiators
from pumice_process import PumiceProcess
from reference_stack import given, logical, reference_stack, volume_group, what_is_there
from stories import SERVERS, VOLUMES, Stories

from pumice.backends.lvm import LvmBackend
from pumice.backends.lvm_group import VolumeGroup
from pumice.backends.lvm_thin import ThinLayout
from pumice.backends.targets.contract import Grant
from pumice.backends.targets.lio import LioTarget
from pumice.hypervisor.connectors.kernel import KernelConnector
from pumice.hypervisor.contract import BlockSource, IscsiSource
from pumice.model.connector import Connector
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.units import GIB, MIB
from pumice.servers.attach_volume import ATTACH_VOLUME
from pumice.servers.detach_volume import DETACH_VOLUME
from pumice.volumes.create import CREATE
from pumice.volumes.delete import DELETE

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(1800)]

IMAGE = os.urandom(4 * MIB)
EMPTY = """
from rtslib_fb import RTSRoot
root = RTSRoot()
root.clear_existing(confirm=True)
assert not list(root.targets)
"""


@pytest.fixture(scope="module")
def pumice() -> Iterator[PumiceProcess]:
    with reference_stack(PUMICE_COMPUTE__DRIVER="fake") as pumice:
        yield pumice


@pytest.fixture(scope="module")
def stories(pumice: PumiceProcess) -> Stories:
    pumice.start()
    stories = Stories(pumice)
    stories.image = stories.upload(IMAGE, "raw")
    return stories


@pytest.fixture(scope="module")
def server(stories: Stories) -> str:
    """A server that volumes are attached to."""
    root = stories.create(imageRef=stories.image)
    stories.pumice.settle()
    server = stories.boot(root)
    stories.pumice.settle()
    stories.server_is(server, "ACTIVE")
    return server


def beginning(device: Path) -> bytes:
    with device.open("rb") as file:
        return file.read(len(IMAGE))


@pytest.mark.short
async def test_what_the_initiator_writes_is_in_the_logical_volume_and_nothing_stays(tmp_path: Path) -> None:
    with volume_group(), initiators(multipath=False):
        before = what_is_there()
        group = VolumeGroup("vg", tmp_path / "lvm")
        backend, target = LvmBackend(group, ThinLayout(group, "thin")), LioTarget(["127.0.0.1:3260"])
        connector = KernelConnector(tmp_path, seconds=300)
        for driver in (backend, target, connector):
            await driver.start()
        volume, attachment = VolumeId(new_id()), AttachmentId(new_id())
        await backend.create(volume, "vg", 1)
        me = await connector.properties(Connector("host", "127.0.0.1", ""))
        grant = Grant(attachment, me.initiator, "user", "correct-horse")
        portal = await target.grant(volume, await backend.device(volume, "vg"), grant)
        source = IscsiSource(portal.portals[0], portal.name, 1, grant.username, grant.password, grant.initiator)
        connected = await connector.connect(attachment, "server", source)
        assert isinstance(connected, BlockSource) and connected.path == given(volume)
        with given(volume).open("r+b") as device:
            assert device.read(MIB) == bytes(MIB)
            assert device.seek(0, os.SEEK_END) == GIB
            device.seek(100 * MIB)
            device.write(b"written by the guest")
            device.flush()
            os.fsync(device.fileno())
        await connector.disconnect(attachment)
        await target.remove(volume)
        with logical(volume).open("rb") as device:
            device.seek(100 * MIB)
            assert device.read(20) == b"written by the guest"
        await backend.delete(volume, "vg")
        left = what_is_there()
        assert left.pop("logical volumes").split() == ["thin"]
        before.pop("logical volumes")
        assert left == before


def test_the_four_stories(stories: Stories, server: str) -> None:
    pumice, before = stories.pumice, what_is_there()
    volume = stories.create(imageRef=stories.image)
    pumice.settle()
    stories.volume_is(volume, "available")
    assert beginning(logical(volume)) == IMAGE

    stories.attach(server, volume)
    pumice.settle()
    stories.volume_is(volume, "in-use")
    with given(volume).open("r+b") as device:
        assert device.read(len(IMAGE)) == IMAGE
        device.seek(100 * MIB)
        device.write(b"written by the guest")
        device.flush()
        os.fsync(device.fileno())
    assert not pumice.violations()

    stories.detach(server, volume)
    pumice.settle()
    stories.volume_is(volume, "available")
    with logical(volume).open("rb") as device:
        device.seek(100 * MIB)
        assert device.read(20) == b"written by the guest"

    second = stories.boot(volume)
    pumice.settle()
    stories.server_is(second, "ACTIVE")
    assert beginning(given(volume)) == IMAGE
    stories.delete(f"{SERVERS}/{second}")
    pumice.settle()
    stories.delete(f"{VOLUMES}/{volume}")
    pumice.settle()
    stories.is_gone(f"{VOLUMES}/{volume}")
    assert what_is_there() == before
    assert not pumice.violations()


def test_what_a_reboot_empties_is_filled_again_and_the_guest_goes_on(stories: Stories, server: str) -> None:
    pumice = stories.pumice
    volume = stories.create(imageRef=stories.image)
    pumice.settle()
    stories.attach(server, volume)
    pumice.settle()
    before = what_is_there()
    subprocess.run([sys.executable, "-c", EMPTY], check=True, capture_output=True)
    pumice.wait(lambda: what_is_there() == before, f"it does not come back: {before}, {what_is_there()}")
    Path("/proc/sys/vm/drop_caches").write_text("3")
    assert beginning(given(volume)) == IMAGE
    stories.detach(server, volume)
    pumice.settle()
    stories.delete(f"{VOLUMES}/{volume}")
    pumice.settle()
    assert not pumice.violations()


def points() -> list[str]:
    """Where something outside the database happens, before and after."""
    return [
        f"{verb.kind}/do/{step.name}/{when}"
        for verb in (CREATE, ATTACH_VOLUME, DETACH_VOLUME, DELETE)
        for step in verb.steps
        if asyncio.iscoroutinefunction(getattr(step, "do", None))
        for when in ("before", "after")
    ]


@pytest.mark.parametrize("fault", points())
def test_kill_nine_at_a_step_leaves_nothing_that_the_audit_cannot_explain(
    stories: Stories, server: str, fault: str
) -> None:
    pumice, before = stories.pumice, what_is_there()
    volume = ""
    verb = fault.partition("/")[0]
    if verb != CREATE.kind:
        volume = stories.create(imageRef=stories.image)
        pumice.settle()
    if verb == DETACH_VOLUME.kind:
        stories.attach(server, volume)
        pumice.settle()
    pumice.stop("serve")
    pumice.start(fault)
    match verb:
        case CREATE.kind:
            volume = stories.create(imageRef=stories.image)
        case ATTACH_VOLUME.kind:
            stories.attach(server, volume)
        case DETACH_VOLUME.kind:
            stories.detach(server, volume)
        case _:
            stories.delete(f"{VOLUMES}/{volume}")
    pumice.wait_for_death("serve")
    pumice.start()
    pumice.settle()
    assert not pumice.violations()
    if verb == ATTACH_VOLUME.kind:
        stories.volume_is(volume, "in-use")
        assert beginning(given(volume)) == IMAGE
        stories.detach(server, volume)
        pumice.settle()
    if verb != DELETE.kind:
        stories.volume_is(volume, "available")
        assert beginning(logical(volume)) == IMAGE
        stories.delete(f"{VOLUMES}/{volume}")
        pumice.settle()
    assert what_is_there() == before
    assert not pumice.violations()

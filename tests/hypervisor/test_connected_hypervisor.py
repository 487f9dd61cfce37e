"""A hypervisor with a connector under it: what is connected when, and what is left when either fails."""

from pathlib import Path

import pytest
from tests.in_full import says

from pumice.hypervisor.connected import ConnectedHypervisor
from pumice.hypervisor.connectors.fake import FakeConnector
from pumice.hypervisor.contract import Disk, IscsiSource, Machine
from pumice.hypervisor.fake import FakeHypervisor
from pumice.model.errors import GuestKeepsDisk, Retryable
from pumice.model.ids import AttachmentId, ServerId, VolumeId, new_id

SERVER = ServerId(new_id())


def a_disk(device: str = "vdb") -> Disk:
    source = IscsiSource("192.0.2.1:3260", f"iqn.2010-10.org.openstack:{new_id()}", 1, "user", "password", "me")
    return Disk(VolumeId(new_id()), device, source, AttachmentId(new_id()))


class Rig:
    def __init__(self, directory: Path) -> None:
        self.machines, self.connector = FakeHypervisor(), FakeConnector(directory)
        self.both = ConnectedHypervisor(self.machines, self.connector)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    await rig.both.start_up()
    await rig.both.define(Machine(SERVER, "name", 1, 64))
    return rig


async def test_a_disk_is_connected_while_the_machine_has_it(rig: Rig) -> None:
    disk = a_disk()
    for _ in range(2):
        await rig.both.attach(SERVER, disk)
        assert await rig.both.secrets() == {disk.attachment}
        assert await rig.both.disks(SERVER) == {disk.serial}
    for _ in range(2):
        await rig.both.detach(SERVER, disk, 1)
        assert await rig.both.secrets() == frozenset()


async def test_what_the_hypervisor_refuses_is_disconnected_again(rig: Rig) -> None:
    rig.machines.fail_next["attach"] = Retryable("It is busy.")
    with pytest.raises(Retryable, check=says("busy")):
        await rig.both.attach(SERVER, a_disk())
    assert await rig.both.secrets() == frozenset()


async def test_what_cannot_be_connected_never_reaches_the_hypervisor(rig: Rig) -> None:
    rig.connector.fail_next["connect"] = Retryable("The target is away.")
    with pytest.raises(Retryable, check=says("away")):
        await rig.both.attach(SERVER, a_disk())
    assert await rig.both.disks(SERVER) == frozenset()


async def test_a_disk_that_the_guest_keeps_stays_connected(rig: Rig) -> None:
    disk = a_disk()
    await rig.both.start(Machine(SERVER, "name", 1, 64))
    await rig.both.attach(SERVER, disk)
    rig.machines.guests_keep_disks = True
    with pytest.raises(GuestKeepsDisk):
        await rig.both.detach(SERVER, disk, 0)
    assert await rig.both.secrets() == {disk.attachment}


async def test_a_machine_starts_with_every_volume_connected_and_takes_them_along_when_it_is_deleted(
    rig: Rig,
) -> None:
    disks = (a_disk("vda"), a_disk("vdb"))
    other = a_disk()
    await rig.connector.connect(other.attachment or AttachmentId(""), "another", a_disk().source)  # type: ignore[arg-type]
    await rig.both.start(Machine(SERVER, "name", 1, 64, disks))
    assert await rig.both.secrets() == {disk.attachment for disk in (*disks, other)}
    await rig.both.stop(SERVER, 0)
    assert len(await rig.both.secrets()) == 3
    await rig.both.delete(SERVER)
    assert await rig.both.secrets() == {other.attachment}


async def test_what_a_killed_process_connected_the_next_one_lets_go(rig: Rig, tmp_path: Path) -> None:
    disk = a_disk()
    await rig.connector.connect(disk.attachment or AttachmentId(""), SERVER, disk.source)  # type: ignore[arg-type]
    follower = ConnectedHypervisor(rig.machines, FakeConnector(tmp_path))
    assert await follower.secrets() == {disk.attachment}
    await follower.detach(SERVER, disk, 1)
    assert await follower.secrets() == frozenset()

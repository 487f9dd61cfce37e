"""What every hypervisor must do: one suite, for the fake and for libvirt with real QEMU processes.

The guest is a boot sector: it runs and says so, and it never follows a request, neither to power off nor to
release a disk. What takes a guest that cooperates is in ``tests/hypervisor/test_libvirt_guest.py``.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.patience import patience

from pumice.hypervisor import libvirt_domains
from pumice.hypervisor.contract import Disk, FileSource, Hypervisor, IscsiSource, Machine, Power
from pumice.hypervisor.fake import FakeHypervisor
from pumice.hypervisor.libvirt import LibvirtHypervisor
from pumice.hypervisor.libvirt_connection import load
from pumice.hypervisor.libvirtd import LibvirtDaemon
from pumice.model.errors import GuestKeepsDisk, InvalidState, NotFound, Retryable
from pumice.model.ids import AttachmentId, ServerId, new_id
from pumice.model.units import GIB, MIB

CACHE = Path(__file__).parents[2] / ".cache" / "libvirt"

# 16-bit code, loaded by the BIOS at 0000:7c00: writes the text behind it to the serial port, then stays.
#   fa fc        cli; cld
#   31 c0 8e d8  xor %ax, %ax; mov %ax, %ds
#   be 17 7c     mov $0x7c17, %si        the text
#   ba f8 03     mov $0x3f8, %dx         COM1
#   ac 84 c0     lodsb; test %al, %al
#   74 03        jz  +3                  to the hlt
#   ee           out %al, %dx
#   eb f8        jmp -8                  to the lodsb
#   f4 eb fd     hlt; jmp -3
_CODE = bytes.fromhex("fafc31c08ed8be177cbaf803ac84c07403eeebf8f4ebfd")
_TEXT = b"first line\r\nthe boot sector runs\r\n\0"
BOOT_SECTOR = (_CODE + _TEXT).ljust(510, b"\0") + b"\x55\xaa"


@pytest.fixture(scope="module")
def libvirt_state() -> Iterator[Path]:
    """A private libvirtd's folder. Short, because of the limit on the paths of sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pumice-hv-"))
    yield folder
    asyncio.run(LibvirtDaemon(folder / "libvirtd", CACHE).stop(force=True))
    shutil.rmtree(folder)


@dataclass
class Bench:
    """A hypervisor under test, where its state is, and a way to open it anew, as after a restart."""

    hypervisor: Hypervisor
    folder: Path

    def reopened(self) -> Hypervisor:
        if isinstance(self.hypervisor, FakeHypervisor):
            return FakeHypervisor(self.folder / "fake")
        return LibvirtHypervisor(self.folder, daemon=self._daemon())

    def _daemon(self) -> LibvirtDaemon:
        return LibvirtDaemon(self.folder / "libvirtd", CACHE)

    def leave_secret(self, attachment: AttachmentId) -> None:
        """What a call that was cut short leaves."""
        if isinstance(self.hypervisor, FakeHypervisor):
            self.hypervisor.told.add(attachment)
            return
        nobody = IscsiSource("127.0.0.1:1", "iqn.x:nobody", 1, "user", "password", "iqn.x:me")
        connection = load().open(self._daemon().uri)
        libvirt_domains.tell_secrets(connection, Disk(new_id(), "vdb", nobody, attachment, passphrase="p"))
        connection.close()

    def limits(self, server: ServerId, disk: Disk) -> dict[str, int]:
        """What holds a disk of a running machine back."""
        if isinstance(self.hypervisor, FakeHypervisor):
            return dict(self.hypervisor.limits[disk.serial])
        connection = load().open(self._daemon().uri)
        try:
            found = connection.lookupByUUIDString(server).blockIoTune(disk.device)
        finally:
            connection.close()
        return {name: value for name, value in found.items() if value and name.endswith(("_sec", "_max"))}

    def make_guest_stubborn(self) -> None:
        if isinstance(self.hypervisor, FakeHypervisor):
            self.hypervisor.guests_keep_disks = True


@pytest.fixture(params=["fake", pytest.param("libvirt", marks=pytest.mark.real)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    if request.param == "fake":
        bench = Bench(FakeHypervisor(tmp_path / "fake"), tmp_path)
    else:
        state: Path = request.getfixturevalue("libvirt_state")
        daemon = LibvirtDaemon(state / "libvirtd", CACHE)
        bench = Bench(LibvirtHypervisor(state, daemon=daemon), state)
    await bench.hypervisor.start_up()
    yield bench
    for server in await bench.hypervisor.machines():
        await bench.hypervisor.delete(server)


@pytest.fixture
def hypervisor(bench: Bench) -> Hypervisor:
    return bench.hypervisor


@pytest.fixture
def boot_disk(tmp_path: Path) -> Disk:
    path = tmp_path / "boot.raw"
    path.write_bytes(BOOT_SECTOR.ljust(MIB, b"\0"))
    return Disk(serial=new_id(), device="vda", source=FileSource(path))


@pytest.fixture
def second_disk(tmp_path: Path) -> Disk:
    path = tmp_path / "second.raw"
    path.write_bytes(bytes(MIB))
    return Disk(serial=new_id(), device="vdb", source=FileSource(path))


@pytest.fixture
def machine(boot_disk: Disk) -> Machine:
    return Machine(ServerId(new_id()), 'a "name" <with> & \x01', vcpus=1, memory_mib=64, disks=(boot_disk,))


async def test_the_connector_is_the_same_at_every_call_and_after_a_restart(bench: Bench) -> None:
    connector = await bench.hypervisor.connector()
    assert connector.initiator.startswith("iqn.")
    assert await bench.hypervisor.connector() == connector
    assert await bench.reopened().connector() == connector


async def test_a_machine_that_nobody_defined_is_not_there(hypervisor: Hypervisor, machine: Machine) -> None:
    assert await hypervisor.power(machine.id) is None
    assert await hypervisor.disks(machine.id) == frozenset()
    assert machine.id not in await hypervisor.machines()


async def test_a_machine_is_started_beside_an_earlier_start_that_was_given_up(
    bench: Bench, machine: Machine
) -> None:
    """Its process was killed, and libvirtd goes on: both look, see it off, and begin."""
    fake = isinstance(bench.hypervisor, FakeHypervisor)
    others = [bench.hypervisor if fake else bench.reopened() for _ in range(3)]
    for _ in range(3):
        await asyncio.gather(*(other.start(machine) for other in others))
        assert await bench.hypervisor.power(machine.id) is Power.RUNNING
        await asyncio.gather(*(other.delete(machine.id) for other in others))
        assert await bench.hypervisor.power(machine.id) is None


async def test_calls_that_need_a_machine_say_that_it_is_not_there(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk
) -> None:
    for call in (
        hypervisor.stop(machine.id, timeout=0),
        hypervisor.reboot(machine.id, hard=True),
        hypervisor.attach(machine.id, second_disk),
        hypervisor.console(machine.id, None),
    ):
        with pytest.raises(NotFound):
            await call


async def test_defining_twice_makes_one_machine_that_is_off(hypervisor: Hypervisor, machine: Machine) -> None:
    await hypervisor.define(machine)
    await hypervisor.define(machine)
    assert await hypervisor.machines() == {machine.id}
    assert await hypervisor.power(machine.id) is Power.SHUTDOWN


async def test_defining_a_running_machine_changes_nothing(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk
) -> None:
    await hypervisor.start(machine)
    await hypervisor.define(replace(machine, disks=(*machine.disks, second_disk)))
    assert await hypervisor.power(machine.id) is Power.RUNNING
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial}


async def test_starting_twice_leaves_it_running(hypervisor: Hypervisor, machine: Machine) -> None:
    await hypervisor.define(machine)
    await hypervisor.start(machine)
    await hypervisor.start(machine)
    assert await hypervisor.power(machine.id) is Power.RUNNING


async def test_two_starts_at_once_start_it_once(hypervisor: Hypervisor, machine: Machine) -> None:
    await asyncio.gather(hypervisor.start(machine), hypervisor.start(machine))
    assert await hypervisor.power(machine.id) is Power.RUNNING


async def test_a_machine_starts_with_exactly_the_disks_it_is_given(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk
) -> None:
    await hypervisor.define(machine)
    await hypervisor.start(replace(machine, disks=(*machine.disks, second_disk)))
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial, second_disk.serial}
    await hypervisor.stop(machine.id, timeout=0)
    await hypervisor.start(machine)
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial}


async def test_stopping_twice_leaves_it_off(hypervisor: Hypervisor, machine: Machine) -> None:
    await hypervisor.start(machine)
    await hypervisor.stop(machine.id, timeout=0.2)
    await hypervisor.stop(machine.id, timeout=0)
    assert await hypervisor.power(machine.id) is Power.SHUTDOWN
    assert machine.id in await hypervisor.machines()


async def test_a_hard_reboot_keeps_it_running(hypervisor: Hypervisor, machine: Machine) -> None:
    await hypervisor.start(machine)
    await hypervisor.reboot(machine.id, hard=True)
    await hypervisor.reboot(machine.id, hard=True)
    assert await hypervisor.power(machine.id) is Power.RUNNING


async def test_a_machine_that_is_off_cannot_be_rebooted(hypervisor: Hypervisor, machine: Machine) -> None:
    await hypervisor.define(machine)
    with pytest.raises(InvalidState):
        await hypervisor.reboot(machine.id, hard=False)


async def test_a_disk_plugged_into_a_running_guest_twice_is_in_once_and_stays(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk
) -> None:
    await hypervisor.start(machine)
    await hypervisor.attach(machine.id, second_disk)
    await hypervisor.attach(machine.id, second_disk)
    both = {machine.disks[0].serial, second_disk.serial}
    assert await hypervisor.disks(machine.id) == both
    await hypervisor.stop(machine.id, timeout=0)
    assert await hypervisor.disks(machine.id) == both


async def test_two_attaches_of_one_disk_at_once_plug_it_in_once(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk
) -> None:
    await hypervisor.start(machine)
    await asyncio.gather(*(hypervisor.attach(machine.id, second_disk) for _ in range(2)))
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial, second_disk.serial}


async def test_a_disk_goes_in_and_out_of_a_machine_that_is_off(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk
) -> None:
    await hypervisor.define(machine)
    for _ in range(2):
        await hypervisor.attach(machine.id, second_disk)
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial, second_disk.serial}
    for _ in range(2):
        await hypervisor.detach(machine.id, second_disk, timeout=5)
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial}


async def test_unplugging_from_a_machine_that_is_gone_succeeds(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk
) -> None:
    await hypervisor.detach(machine.id, second_disk, timeout=5)


async def test_a_guest_that_keeps_its_disk_is_reported_and_the_disk_stays(
    bench: Bench, machine: Machine, second_disk: Disk
) -> None:
    hypervisor = bench.hypervisor
    bench.make_guest_stubborn()
    await hypervisor.start(machine)
    await hypervisor.attach(machine.id, second_disk)
    for _ in range(2):
        with pytest.raises(GuestKeepsDisk, match=r"did not release vdb .* stays attached"):
            await hypervisor.detach(machine.id, second_disk, timeout=0.3)
    both = {machine.disks[0].serial, second_disk.serial}
    assert await hypervisor.disks(machine.id) == both
    await hypervisor.stop(machine.id, timeout=0)
    assert await hypervisor.disks(machine.id) == both, "the definition has it too"
    await hypervisor.detach(machine.id, second_disk, timeout=5)
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial}


async def test_deleting_a_running_machine_twice_leaves_nothing(
    bench: Bench, machine: Machine, second_disk: Disk
) -> None:
    hypervisor = bench.hypervisor
    await hypervisor.start(machine)
    await hypervisor.attach(machine.id, second_disk)
    await hypervisor.delete(machine.id)
    await hypervisor.delete(machine.id)
    assert await hypervisor.power(machine.id) is None
    assert await hypervisor.machines() == frozenset()
    assert not _files_named_after(machine.id, bench.folder)


async def test_a_local_disk_is_made_once_grown_and_removed_with_the_machine(
    bench: Bench, machine: Machine, boot_disk: Disk
) -> None:
    assert isinstance(boot_disk.source, FileSource)
    image = boot_disk.source.path
    paths = [
        await bench.hypervisor.make_local_disk(machine.id, image, "raw", virtual_size=MIB, size_gib=1)
        for _ in range(2)
    ]
    assert paths[0] == paths[1]
    assert paths[0].stat().st_size == GIB
    await bench.hypervisor.delete(machine.id)
    assert not paths[0].exists()


async def test_a_local_disk_without_a_size_is_as_large_as_its_image(
    hypervisor: Hypervisor, machine: Machine, boot_disk: Disk
) -> None:
    assert isinstance(boot_disk.source, FileSource)
    image = boot_disk.source.path
    disk = await hypervisor.make_local_disk(machine.id, image, "raw", virtual_size=MIB, size_gib=0)
    assert disk.stat().st_size == MIB
    await hypervisor.delete(machine.id)


async def test_the_console_gives_the_last_lines(hypervisor: Hypervisor, machine: Machine) -> None:
    await hypervisor.define(machine)
    await hypervisor.start(machine)
    async with patience():
        while not (await hypervisor.console(machine.id, None)).endswith("\n"):
            await asyncio.sleep(0.05)
    whole = await hypervisor.console(machine.id, None)
    assert await hypervisor.console(machine.id, 1) == whole.splitlines(keepends=True)[-1]
    assert await hypervisor.console(machine.id, 0) == ""


async def test_a_guest_stands_still_from_pause_to_resume_however_often_it_is_said(
    hypervisor: Hypervisor, machine: Machine, boot_disk: Disk
) -> None:
    await hypervisor.start(machine)
    for _ in range(2):
        await hypervisor.pause(machine.id)
    assert await hypervisor.power(machine.id) is Power.PAUSED
    os.truncate(boot_disk.source.path, 2 * MIB)  # type: ignore[union-attr]
    for _ in range(2):
        await hypervisor.resize_disk(machine.id, boot_disk, 2 * MIB)
    for _ in range(2):
        await hypervisor.resume(machine.id)
    assert await hypervisor.power(machine.id) is Power.RUNNING


async def test_a_disk_is_held_to_its_limits_when_it_is_plugged_in_and_as_it_grows(
    bench: Bench, machine: Machine, second_disk: Disk
) -> None:
    hypervisor, limits = (
        bench.hypervisor,
        {"total_bytes_sec": MIB, "read_iops_sec": 50, "read_iops_sec_max": 90},
    )
    held = replace(second_disk, limits=limits)
    booted = replace(machine.disks[0], limits={"write_iops_sec": 7, "size_iops_sec": 4096})
    await hypervisor.start(replace(machine, disks=(booted,)))
    assert bench.limits(machine.id, booted) == booted.limits
    await hypervisor.attach(machine.id, held)
    assert bench.limits(machine.id, held) == limits
    grown = replace(held, limits={"total_bytes_sec": 2 * MIB, "read_iops_sec": 60})
    os.truncate(second_disk.source.path, 2 * MIB)  # type: ignore[union-attr]
    for _ in range(2):
        await hypervisor.resize_disk(machine.id, grown, 2 * MIB)
    assert bench.limits(machine.id, held) == grown.limits
    await hypervisor.resize_disk(machine.id, second_disk, 2 * MIB)
    assert bench.limits(machine.id, held) == grown.limits, "nobody said otherwise"


def nobody_asks(_share: float) -> None:
    pass


@pytest.fixture
def other_disk(second_disk: Disk, tmp_path: Path) -> Disk:
    """An empty disk for what the second holds."""
    path = tmp_path / "other.raw"
    path.write_bytes(bytes(MIB))
    return replace(second_disk, source=FileSource(path))


def bytes_of(disk: Disk) -> bytes:
    assert isinstance(disk.source, FileSource)
    return disk.source.path.read_bytes()


async def test_a_guest_goes_over_to_another_disk_with_its_bytes_and_keeps_it(
    bench: Bench, machine: Machine, second_disk: Disk, other_disk: Disk
) -> None:
    hypervisor, done = bench.hypervisor, list[float]()
    assert isinstance(second_disk.source, FileSource)
    second_disk.source.path.write_bytes(os.urandom(MIB))
    await hypervisor.start(replace(machine, disks=(*machine.disks, second_disk)))
    for _ in range(2):
        await hypervisor.mirror(machine.id, other_disk, done.append)
    assert done[-1] == 1.0
    if not isinstance(hypervisor, FakeHypervisor):  # whose disks have no bytes
        assert bytes_of(other_disk) == bytes_of(second_disk)
    for _ in range(2):
        await hypervisor.switch(machine.id, other_disk)
    await hypervisor.mirror(machine.id, other_disk, nobody_asks)
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial, second_disk.serial}
    assert await hypervisor.power(machine.id) is Power.RUNNING
    assert await bench.reopened().end_mirror(machine.id, other_disk), "it has gone over"
    await hypervisor.stop(machine.id, timeout=0)
    await hypervisor.switch(machine.id, other_disk)
    assert await hypervisor.end_mirror(machine.id, other_disk), "the definition has it too"
    assert not await hypervisor.end_mirror(machine.id, second_disk)


async def test_a_mirror_outlives_the_process_and_is_ended_once_and_for_all(
    bench: Bench, machine: Machine, second_disk: Disk, other_disk: Disk
) -> None:
    await bench.hypervisor.start(replace(machine, disks=(*machine.disks, second_disk)))
    await bench.hypervisor.mirror(machine.id, other_disk, nobody_asks)
    again = bench.reopened()
    await again.mirror(machine.id, other_disk, nobody_asks)
    for _ in range(2):
        assert not await again.end_mirror(machine.id, other_disk)
    with pytest.raises(Retryable, match="not in step"):
        await again.switch(machine.id, other_disk)
    await again.mirror(machine.id, other_disk, nobody_asks)
    await again.switch(machine.id, other_disk)
    assert await again.end_mirror(machine.id, other_disk)


async def test_two_mirrors_at_once_are_one_and_so_are_two_switches(
    bench: Bench, machine: Machine, second_disk: Disk, other_disk: Disk
) -> None:
    """A process was killed, and libvirtd goes on with what it had asked for."""
    await bench.hypervisor.start(replace(machine, disks=(*machine.disks, second_disk)))
    fake = isinstance(bench.hypervisor, FakeHypervisor)
    both = [bench.hypervisor, bench.hypervisor if fake else bench.reopened()]
    await asyncio.gather(*(one.mirror(machine.id, other_disk, nobody_asks) for one in both))
    ended = await asyncio.gather(*(one.switch(machine.id, other_disk) for one in both), return_exceptions=True)
    assert None in ended and all(isinstance(it, Retryable | None) for it in ended)
    await both[1].switch(machine.id, other_disk)
    assert await bench.hypervisor.end_mirror(machine.id, other_disk)


async def test_a_guest_that_is_off_goes_over_to_nothing(
    hypervisor: Hypervisor, machine: Machine, second_disk: Disk, other_disk: Disk
) -> None:
    for call in (
        hypervisor.mirror(machine.id, other_disk, nobody_asks),
        hypervisor.switch(machine.id, other_disk),
    ):
        with pytest.raises(NotFound):
            await call
    assert not await hypervisor.end_mirror(machine.id, other_disk)
    await hypervisor.start(machine)
    with pytest.raises(NotFound):
        await hypervisor.mirror(machine.id, other_disk, nobody_asks)
    assert not await hypervisor.end_mirror(machine.id, other_disk)
    await hypervisor.attach(machine.id, second_disk)
    await hypervisor.mirror(machine.id, other_disk, nobody_asks)
    await hypervisor.stop(machine.id, timeout=0)
    for call in (
        hypervisor.mirror(machine.id, other_disk, nobody_asks),
        hypervisor.switch(machine.id, other_disk),
    ):
        with pytest.raises(InvalidState, match="powered off"):
            await call
    assert not await hypervisor.end_mirror(machine.id, other_disk)


async def test_a_machine_that_is_off_or_not_there_needs_no_pause(
    hypervisor: Hypervisor, machine: Machine, boot_disk: Disk, second_disk: Disk
) -> None:
    for _ in range(2):
        await hypervisor.pause(machine.id)
        await hypervisor.resize_disk(machine.id, boot_disk, 2 * MIB)
        await hypervisor.resume(machine.id)
        await hypervisor.define(machine)
    assert await hypervisor.power(machine.id) is Power.SHUTDOWN
    await hypervisor.start(machine)
    await hypervisor.resize_disk(machine.id, second_disk, 2 * MIB)


async def test_the_powers_of_all_machines_are_told_at_once(hypervisor: Hypervisor, machine: Machine) -> None:
    off = replace(machine, id=ServerId(new_id()))
    assert await hypervisor.powers() == {}
    await hypervisor.define(off)
    await hypervisor.start(machine)
    assert await hypervisor.powers() == {off.id: Power.SHUTDOWN, machine.id: Power.RUNNING}
    await hypervisor.stop(machine.id, timeout=0)
    await hypervisor.delete(off.id)
    assert await hypervisor.powers() == {machine.id: Power.SHUTDOWN}


async def test_what_remains_of_a_server_that_was_never_defined_is_known_and_goes_with_it(
    hypervisor: Hypervisor, machine: Machine, boot_disk: Disk
) -> None:
    assert isinstance(boot_disk.source, FileSource)
    image = boot_disk.source.path
    disk = await hypervisor.make_local_disk(machine.id, image, "raw", virtual_size=MIB, size_gib=0)
    assert await hypervisor.remains() == {machine.id}
    assert await hypervisor.machines() == frozenset()
    await hypervisor.delete(machine.id)
    assert await hypervisor.remains() == frozenset()
    assert not disk.exists()


async def test_a_secret_is_known_by_its_attachment_and_forgotten_once_and_for_all(bench: Bench) -> None:
    one, other = AttachmentId(new_id()), AttachmentId(new_id())
    bench.leave_secret(one)
    bench.leave_secret(other)
    assert await bench.hypervisor.secrets() == {one, other}
    for _ in range(2):
        await bench.hypervisor.forget_secret(one)
    assert await bench.hypervisor.secrets() == {other}
    await bench.hypervisor.forget_secret(other)
    assert await bench.hypervisor.secrets() == frozenset()


async def test_unplugging_takes_the_secret_away_even_where_the_disk_is_out_already(
    bench: Bench, machine: Machine, second_disk: Disk
) -> None:
    attachment = AttachmentId(new_id())
    bench.leave_secret(attachment)
    await bench.hypervisor.define(machine)
    await bench.hypervisor.detach(machine.id, replace(second_disk, attachment=attachment), timeout=5)
    assert await bench.hypervisor.secrets() == frozenset()


async def test_machines_and_their_disks_outlive_the_process(
    bench: Bench, machine: Machine, second_disk: Disk
) -> None:
    await bench.hypervisor.start(machine)
    await bench.hypervisor.attach(machine.id, second_disk)
    again = bench.reopened()
    assert await again.machines() == {machine.id}
    assert await again.power(machine.id) is Power.RUNNING
    assert await again.disks(machine.id) == {machine.disks[0].serial, second_disk.serial}


async def test_the_fake_fails_when_it_is_told_to_and_only_once() -> None:
    fake = FakeHypervisor()
    fake.fail_next["machines"] = Retryable("the daemon is down")
    with pytest.raises(Retryable):
        await fake.machines()
    assert await fake.machines() == frozenset()


def _files_named_after(server: str, folder: Path) -> list[str]:
    found = subprocess.run(["find", folder, "-name", f"*{server}*"], capture_output=True, text=True, check=True)
    return found.stdout.split()

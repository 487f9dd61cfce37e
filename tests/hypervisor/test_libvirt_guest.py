"""A real Linux guest under libvirt, booted over iSCSI with CHAP: the story from boot to nothing left."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import cast

import pytest
from tests.patience import PATIENCE
from tests.ports import free_port

from pumice.app.guest_image import GREETING, build_guest_image
from pumice.backends.targets.contract import Grant
from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.backends.targets.two_names import TwoNames, ends_unlike
from pumice.host.command import run
from pumice.hypervisor.contract import Disk, FileSource, IscsiSource, Machine, Power
from pumice.hypervisor.libvirt import LibvirtHypervisor
from pumice.hypervisor.libvirt_connection import load
from pumice.hypervisor.libvirtd import LibvirtDaemon
from pumice.model.errors import PumiceError, Retryable
from pumice.model.hardware import Hardware, Topology
from pumice.model.ids import AttachmentId, ServerId, VolumeId, new_id
from pumice.model.units import GIB
from pumice.store.servers import MOST_DISKS

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CACHE = Path(__file__).parents[2] / ".cache"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because of the limit on the paths of sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pumice-guest-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def daemon(folder: Path) -> AsyncIterator[LibvirtDaemon]:
    daemon = LibvirtDaemon(folder / "hypervisor" / "libvirtd", CACHE / "libvirt")
    yield daemon
    await daemon.stop(force=True)


@pytest.fixture
async def hypervisor(daemon: LibvirtDaemon) -> LibvirtHypervisor:
    hypervisor = LibvirtHypervisor(daemon.state_dir.parent, daemon=daemon)
    await hypervisor.start_up()
    return hypervisor


@pytest.fixture
async def target(folder: Path) -> AsyncIterator[TgtTarget]:
    portal = f"127.0.0.1:{free_port()}"
    daemon = TgtDaemon(folder / "tgt", portal)
    target = TgtTarget(portal, daemon=daemon)
    await target.start()
    yield target
    await daemon.stop(force=True)


async def exported(target: TgtTarget, path: Path, device: str, initiator: str) -> tuple[Disk, Grant]:
    volume, attachment = VolumeId(new_id()), AttachmentId(new_id())
    grant = Grant(attachment, initiator, f"user-{device}", secrets.token_hex(8))
    portal = await target.grant(volume, path, grant)
    source = IscsiSource(portal.portals[0], portal.name, portal.lun, grant.username, grant.password, initiator)
    return Disk(volume, device, source, attachment), grant


async def says(hypervisor: LibvirtHypervisor, server: ServerId, words: str, times: int = 1) -> None:
    """Wait until the guest has said the words on its serial port."""
    limit = time.monotonic() + PATIENCE
    while (console := await hypervisor.console(server, None)).count(words) < times:
        assert time.monotonic() < limit, f"the guest never said {words!r}; it said:\n{console}"
        await asyncio.sleep(0.05)


def files_holding(secret: str, folder: Path) -> str:
    found = subprocess.run(["grep", "-rlaF", secret, folder], capture_output=True, text=True, check=False)
    return found.stdout


def secrets_known_to(daemon: LibvirtDaemon) -> list[str]:
    connection = load().open(daemon.uri)
    try:
        return connection.listSecrets()
    finally:
        connection.close()


async def test_a_guest_boots_over_iscsi_takes_a_disk_writes_lets_go_and_leaves_nothing(
    folder: Path, hypervisor: LibvirtHypervisor, daemon: LibvirtDaemon, target: TgtTarget
) -> None:
    initiator = (await hypervisor.connector()).initiator
    image = await build_guest_image(folder / "guest.qcow2", CACHE / "guest")
    root, empty = folder / "root.raw", folder / "empty.raw"
    await run("qemu-img", "convert", "-O", "raw", image, root, timeout=60)
    with empty.open("wb") as file:
        file.truncate(GIB)
    boot_disk, boot_grant = await exported(target, root, "vda", initiator)
    server = ServerId(new_id())
    machine = Machine(server, "guest", vcpus=1, memory_mib=256, disks=(boot_disk,))

    await hypervisor.define(machine)
    await hypervisor.start(machine)
    await says(hypervisor, server, "PUMICE-GUEST ready")

    disk, grant = await exported(target, empty, "vdb", initiator)
    await hypervisor.attach(server, disk)
    await says(hypervisor, server, f"PUMICE-GUEST disk vdb {GIB // 512} sectors serial {disk.serial[:20]}")
    await says(hypervisor, server, "PUMICE-GUEST wrote vdb")
    with empty.open("rb") as file:
        assert file.read(len(GREETING)) == GREETING.encode()
    await hypervisor.send_console(server, "echo sum $((40 + 2))")
    await says(hypervisor, server, "sum 42")
    for each in (grant, boot_grant):
        assert not files_holding(each.password, folder / "hypervisor")

    # libvirtd dies under a running guest; the next call brings it back, and the guest never noticed.
    pid = daemon.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    await hypervisor.detach(server, disk, timeout=PATIENCE)
    assert daemon.pid() not in (None, pid)
    await hypervisor.detach(server, disk, timeout=PATIENCE)
    await says(hypervisor, server, "PUMICE-GUEST gone vdb")
    assert await hypervisor.disks(server) == {boot_disk.serial}
    assert secrets_known_to(daemon) == [], "the daemon that died took them along, and none came back"

    await hypervisor.reboot(server, hard=True)
    await says(hypervisor, server, "boot 2")
    await hypervisor.stop(server, timeout=30)
    assert await hypervisor.power(server) is Power.SHUTDOWN
    await hypervisor.start(machine)
    await says(hypervisor, server, "boot 3")

    await hypervisor.delete(server)
    await target.revoke(VolumeId(disk.serial), grant)
    await target.revoke(VolumeId(boot_disk.serial), boot_grant)
    assert await target.exports() == {}
    assert await hypervisor.machines() == frozenset()
    assert secrets_known_to(daemon) == []
    assert not list((folder / "hypervisor").rglob(f"*{server}*"))


async def test_a_guest_that_writes_all_the_time_goes_over_to_another_target_and_loses_nothing(
    folder: Path, hypervisor: LibvirtHypervisor, daemon: LibvirtDaemon, target: TgtTarget
) -> None:
    """Both disks have the volume's id, at one daemon; libvirtd dies in the middle of it."""
    initiator = (await hypervisor.connector()).initiator
    image = await build_guest_image(folder / "guest.qcow2", CACHE / "guest")
    paths = root, old, new = folder / "root.raw", folder / "old.raw", folder / "new.raw"
    await run("qemu-img", "convert", "-O", "raw", image, root, timeout=60)
    for path in paths[1:]:
        with path.open("wb") as file:
            file.truncate(GIB)
    both = cast(TgtTarget, TwoNames(target))
    boot_disk, boot_grant = await exported(both, root, "vda", initiator)
    server = ServerId(new_id())
    await hypervisor.start(Machine(server, "guest", vcpus=1, memory_mib=256, disks=(boot_disk,)))
    await says(hypervisor, server, "PUMICE-GUEST ready")
    disk, grant = await exported(both, old, "vdb", initiator)
    await hypervisor.attach(server, disk)
    await says(hypervisor, server, "PUMICE-GUEST wrote vdb")
    # One line in each sector from the second on, each on the disk before the next begins.
    writes = "echo line $n | dd of=/dev/vdb bs=512 seek=$n conv=fsync,notrunc 2>/dev/null"
    await hypervisor.send_console(server, f"n=1; while [ ! -e /stop ]; do {writes}; n=$((n+1)); done &")
    await lines_in(old, 3)

    username = grant.username + ends_unlike(grant.username)
    fresh = Grant(grant.attachment, initiator, username, secrets.token_hex(8))
    export = await both.grant(VolumeId(disk.serial), new, fresh)
    source = IscsiSource(export.portals[0], export.name, export.lun, fresh.username, fresh.password, initiator)
    other, done = replace(disk, source=source), list[float]()
    mirroring = asyncio.create_task(hypervisor.mirror(server, other, done.append))
    while not done:
        await asyncio.sleep(0.01)
    pid = daemon.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    with suppress(Retryable):
        await mirroring
    await hypervisor.mirror(server, other, done.append)
    written = await lines_in(new, 3)
    await hypervisor.switch(server, other)
    await both.revoke(VolumeId(disk.serial), grant)
    assert await both.exports() == {disk.serial: {fresh.username}, boot_disk.serial: {boot_grant.username}}
    old.unlink()
    await lines_in(new, written + 5)
    assert await hypervisor.end_mirror(server, other)
    await hypervisor.send_console(server, "touch /stop")
    with new.open("rb") as file:
        assert file.read(len(GREETING)) == GREETING.encode()
    assert not files_holding(fresh.password, folder / "hypervisor")
    await hypervisor.detach(server, other, timeout=PATIENCE)
    await says(hypervisor, server, "PUMICE-GUEST gone vdb")
    await hypervisor.delete(server)


async def lines_in(path: Path, at_least: int) -> int:
    """Wait until the guest has written so many lines to a disk; how many it has, without a gap."""
    limit = time.monotonic() + PATIENCE
    while True:
        with path.open("rb") as file:
            sectors = iter(partial(file.read, 512), b"")
            next(sectors)
            number = 0
            for number, sector in enumerate(sectors):
                if not sector.startswith(f"line {number + 1}\n".encode()):
                    break
            file.seek(0)
            rest = file.read(64 * 1024)
        if number >= at_least:
            assert f"line {number + 2}\n".encode() not in rest, "one is missing"
            return number
        assert time.monotonic() < limit, f"the guest has written {number} lines"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("machine_type", "nic"),
    [
        *(("pc", nic) for nic in ("virtio", "e1000", "e1000e", "rtl8139", "pcnet", "ne2k_pci")),
        ("q35", "virtio"),
        ("q35", "rtl8139"),
        ("pc-q35-7.2", "virtio"),
    ],
)
async def test_libvirt_and_qemu_take_whatever_is_asked_of_a_machine(
    folder: Path, hypervisor: LibvirtHypervisor, nic: str, machine_type: str
) -> None:
    boot = folder / "boot.raw"
    boot.write_bytes(bytes(1024 * 1024))
    disks = (Disk(new_id(), "vda", FileSource(boot)),)
    everything = Hardware(
        Topology(1, 2, 2),
        nic,
        "reset",
        rng=True,
        agent=True,
        local_clock=True,
        hpet=nic == "e1000",
        machine=machine_type,
    )
    machine = Machine(ServerId(new_id()), "guest", 4, 64, disks, everything)
    await hypervisor.start(machine)
    assert await hypervisor.power(machine.id) == Power.RUNNING
    await hypervisor.delete(machine.id)


async def test_a_q35_takes_as_many_disks_as_a_server_may_have_and_lets_go_of_them(
    folder: Path, hypervisor: LibvirtHypervisor
) -> None:
    image = await build_guest_image(folder / "guest.qcow2", CACHE / "guest")
    await run("qemu-img", "convert", "-O", "raw", image, folder / "vda", timeout=60)
    letters = ascii_lowercase[1:MOST_DISKS]
    for letter in letters:
        (folder / f"vd{letter}").write_bytes(bytes(1024 * 1024))
    root, *others = (Disk(new_id(), f"vd{it}", FileSource(folder / f"vd{it}")) for it in ("a", *letters))
    machine = Machine(
        ServerId(new_id()), "guest", 1, 256, (root,), Hardware(machine="q35", rng=True, agent=True)
    )
    await hypervisor.start(machine)
    await says(hypervisor, machine.id, "PUMICE-GUEST ready")
    for disk in others:
        await hypervisor.attach(machine.id, disk)
    await says(hypervisor, machine.id, "PUMICE-GUEST wrote vd", len(others))
    for disk in (others[0], others[-1]):
        await hypervisor.detach(machine.id, disk, timeout=PATIENCE)
    assert await hypervisor.disks(machine.id) == {disk.serial for disk in (root, *others[1:-1])}
    await hypervisor.delete(machine.id)


async def test_a_wrong_password_is_refused_in_words_and_leaves_no_secret(
    folder: Path, hypervisor: LibvirtHypervisor, daemon: LibvirtDaemon, target: TgtTarget
) -> None:
    path = folder / "disk.raw"
    path.write_bytes(bytes(1024 * 1024))
    disk, grant = await exported(target, path, "vda", (await hypervisor.connector()).initiator)
    assert isinstance(disk.source, IscsiSource)
    wrong = IscsiSource(
        disk.source.portal, disk.source.iqn, disk.source.lun, grant.username, "wrong-password", grant.initiator
    )
    machine = Machine(ServerId(new_id()), "guest", 1, 64, (Disk(disk.serial, "vda", wrong, disk.attachment),))
    with pytest.raises(PumiceError, match="refused") as refusal:
        await hypervisor.start(machine)
    assert not isinstance(refusal.value, Retryable) and "Authentication failure" in refusal.value.detail
    assert "wrong-password" not in refusal.value.in_full
    await hypervisor.delete(machine.id)
    assert secrets_known_to(daemon) == []


async def test_a_target_that_is_down_is_trouble_and_leaves_no_disk_and_no_secret(
    folder: Path, hypervisor: LibvirtHypervisor, daemon: LibvirtDaemon
) -> None:
    boot = folder / "boot.raw"
    boot.write_bytes(bytes(1024 * 1024))
    machine = Machine(ServerId(new_id()), "guest", 1, 64, (Disk(new_id(), "vda", FileSource(boot)),))
    await hypervisor.start(machine)
    nobody = IscsiSource("127.0.0.1:1", "iqn.2026-11.org.pumice:nobody", 1, "user", "password", "iqn.x")
    for _ in range(2):
        with pytest.raises(Retryable):
            await hypervisor.attach(machine.id, Disk(new_id(), "vdb", nobody, AttachmentId(new_id())))
    assert await hypervisor.disks(machine.id) == {machine.disks[0].serial}
    assert secrets_known_to(daemon) == []

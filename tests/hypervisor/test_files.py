"""Volumes that are files: what is looked at before QEMU has them, and QEMU's lock between two hosts."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.in_full import says

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.local import LocalTarget
from pumice.hypervisor.contract import BlockSource, Disk, FileSource, Machine
from pumice.hypervisor.files import Files
from pumice.hypervisor.libvirt import LibvirtHypervisor
from pumice.hypervisor.libvirt_connection import load
from pumice.hypervisor.libvirtd import LibvirtDaemon
from pumice.model.errors import Retryable
from pumice.model.export import LocalDevice
from pumice.model.ids import AttachmentId, ServerId, VolumeId, new_id
from pumice.model.units import MIB

CACHE = Path(__file__).parents[2] / ".cache" / "libvirt"


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    path = tmp_path / "volume"
    path.write_bytes(bytes(MIB))
    return a_disk(path)


def a_disk(path: Path, device: str = "vda") -> Disk:
    return Disk(new_id(), device, FileSource(path), AttachmentId(new_id()))


async def test_a_file_that_can_be_is_used_past_the_cache(disk: Disk) -> None:
    found = await Files().looked_at(disk)
    assert found == replace(disk, source=FileSource(disk.source.path, direct=True))  # type: ignore[union-attr]


async def test_what_is_no_volume_is_left_as_it_is(disk: Disk) -> None:
    local = replace(disk, attachment=None)
    assert await Files().looked_at(local) == local


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Retryable, check=says("absent: No such file or directory")):
        await Files().looked_at(a_disk(tmp_path / "absent"))


async def test_another_file_than_the_volumes_is_refused(tmp_path: Path, disk: Disk) -> None:
    assert isinstance(disk.source, FileSource)
    number = disk.source.path.stat().st_ino
    asked = replace(disk, source=FileSource(disk.source.path, inode=number))
    await Files().looked_at(asked)
    copy = tmp_path / "copy"
    shutil.copy(disk.source.path, copy)
    with pytest.raises(Retryable, check=says("the same directory is mounted on both")):
        await Files().looked_at(replace(disk, source=FileSource(copy, inode=number)))


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Path]:
    """A directory that is mounted read-only."""
    directory = tmp_path / "sealed"
    directory.mkdir()
    (directory / "volume").write_bytes(bytes(MIB))
    if subprocess.run(["mount", "--bind", directory, directory], capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount anything")
    subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


async def test_what_is_mounted_read_only_is_opened_to_be_read_alone(sealed: Path) -> None:
    disk = a_disk(sealed / "volume")
    with pytest.raises(Retryable, check=says("Read-only file system")):
        await Files().looked_at(disk)
    assert await Files().looked_at(replace(disk, read_only=True))


async def test_a_directory_that_hangs_costs_no_other_one_anything(tmp_path: Path, disk: Disk) -> None:
    (tmp_path / "hung").mkdir()
    fifo = tmp_path / "hung" / "volume"
    os.mkfifo(fifo)  # whoever opens it to read waits until somebody writes
    files, hung = Files(seconds=0.2), replace(a_disk(fifo), read_only=True)
    answers = await asyncio.gather(
        *(files.looked_at(hung) for _ in range(6)), files.looked_at(disk), return_exceptions=True
    )
    assert all(isinstance(it, Retryable) and "hangs" in it.in_full for it in answers[:6])
    assert isinstance(answers[6], Disk)
    os.close(os.open(fifo, os.O_RDWR))  # let them go


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because of the limit on the paths of sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pumice-files-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def two_hosts(folder: Path) -> AsyncIterator[list[LibvirtHypervisor]]:
    daemons = [LibvirtDaemon(folder / name / "libvirtd", CACHE) for name in ("a", "b")]
    hosts = [LibvirtHypervisor(daemon.state_dir.parent, daemon=daemon) for daemon in daemons]
    for host in hosts:
        await host.start_up()
    yield hosts
    for daemon in daemons:
        await daemon.stop(force=True)


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_of_two_hosts_that_would_write_a_file_qemu_lets_one(
    two_hosts: list[LibvirtHypervisor], tmp_path: Path, disk: Disk
) -> None:
    servers = [ServerId(new_id()) for _ in two_hosts]
    for host, server in zip(two_hosts, servers, strict=True):
        root = tmp_path / server
        root.write_bytes(bytes(MIB))
        await host.start(Machine(server, "guest", 1, 64, (a_disk(root),)))
    one, other = two_hosts
    data = replace(disk, device="vdb")
    await one.attach(servers[0], data)
    with pytest.raises(Retryable, match="QEMU's lock keeps a second writer out"):
        await other.attach(servers[1], data)
    assert data.serial not in await other.disks(servers[1])
    with pytest.raises(Retryable, match="QEMU's lock"):
        await other.start(Machine(ServerId(new_id()), "booted", 1, 64, (replace(data, device="vda"),)))
    await one.delete(servers[0])
    await other.attach(servers[1], data)
    assert data.serial in await other.disks(servers[1])


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_hosts_that_share_a_file_on_purpose_both_have_it(
    two_hosts: list[LibvirtHypervisor], disk: Disk
) -> None:
    shared, server = replace(disk, shared=True), ServerId(new_id())
    for host in two_hosts:
        await host.start(Machine(server, "guest", 1, 64, (shared,)))
        assert await host.disks(server) == {disk.serial}


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Path]:
    """A block device of 1 MiB."""
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(MIB))
    made = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True)
    if made.returncode:
        pytest.skip("this machine does not let the test make a loop device")
    device = made.stdout.strip()
    yield Path(device)
    subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_a_block_device_of_the_host_is_opened_as_one_and_grows(
    two_hosts: list[LibvirtHypervisor], folder: Path, tmp_path: Path, disk: Disk, loop: Path
) -> None:
    volume, attachment = VolumeId(new_id()), AttachmentId(new_id())
    assert await LocalTarget().grant(volume, loop, Grant(attachment, "", "", "")) == LocalDevice(
        str(loop), True
    )
    data, server = Disk(volume, "vdb", BlockSource(loop), attachment), ServerId(new_id())
    host = two_hosts[0]
    await host.start(Machine(server, "guest", 1, 64, (disk,)))
    await host.attach(server, data)
    assert users_of(loop) == {"qemu-system-x86"}
    grow(tmp_path / "backing", loop)
    await host.resize_disk(server, data, 2 * MIB)
    connection = load().open(LibvirtDaemon(folder / "a" / "libvirtd", CACHE).uri)
    try:
        assert connection.lookupByUUIDString(server).blockInfo("vdb")[0] == 2 * MIB
    finally:
        connection.close()
    await host.delete(server)
    assert users_of(loop) == set()


def grow(backing: Path, loop: Path) -> None:
    os.truncate(backing, 2 * MIB)
    subprocess.run(["losetup", "--set-capacity", loop], check=True)


def users_of(device: Path) -> set[str]:
    """The names of the processes that have a device open."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(device) in map(os.readlink, (process / "fd").iterdir()):
                found.add((process / "comm").read_text().strip())
    return found

"""The private libvirtd and the line to it: started once, found again, never waited for without a limit."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pumice.hypervisor.contract import Disk, FileSource, Machine, Power
from pumice.hypervisor.libvirt import LibvirtHypervisor
from pumice.hypervisor.libvirt_connection import LibvirtConnection, load
from pumice.hypervisor.libvirtd import LibvirtDaemon
from pumice.model.errors import Conflict, Misconfigured, Retryable
from pumice.model.ids import ServerId, new_id

pytestmark = pytest.mark.real

CACHE = Path(__file__).parents[2] / ".cache"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because of the limit on the paths of sockets."""
    folder = Path(tempfile.mkdtemp(prefix="pumice-libvirtd-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def daemon(folder: Path) -> AsyncIterator[LibvirtDaemon]:
    daemon = LibvirtDaemon(folder / "libvirtd", CACHE / "libvirt")
    yield daemon
    await daemon.stop(force=True)


@pytest.fixture
async def hypervisor(folder: Path, daemon: LibvirtDaemon) -> LibvirtHypervisor:
    hypervisor = LibvirtHypervisor(folder, daemon=daemon)
    await hypervisor.start_up()
    return hypervisor


async def test_a_second_daemon_on_the_same_folder_is_the_first_one(
    daemon: LibvirtDaemon, hypervisor: LibvirtHypervisor
) -> None:
    pid = daemon.pid()
    again = LibvirtDaemon(daemon.state_dir, CACHE / "libvirt")
    await asyncio.gather(again.start(), daemon.start())
    assert again.pid() == pid
    await daemon.stop()
    await daemon.stop()
    assert again.pid() is None
    assert await hypervisor.machines() == frozenset(), "a call finds the daemon gone, and starts it"


async def test_a_daemon_with_guests_is_left_alone_unless_forced(
    folder: Path, hypervisor: LibvirtHypervisor, daemon: LibvirtDaemon
) -> None:
    boot = folder / "boot.raw"
    boot.write_bytes(bytes(1024 * 1024))
    machine = Machine(ServerId(new_id()), "guest", 1, 64, (Disk(new_id(), "vda", FileSource(boot)),))
    await hypervisor.start(machine)
    with pytest.raises(Conflict):
        await daemon.stop()
    assert await hypervisor.power(machine.id) is Power.RUNNING


async def test_a_path_too_long_for_a_socket_is_refused_with_the_reason(folder: Path) -> None:
    with pytest.raises(Misconfigured, match="choose a shorter state directory"):
        await LibvirtDaemon(folder / ("x" * 100)).start()


async def test_a_daemon_that_hangs_is_trouble_in_time_and_forgiven_later(daemon: LibvirtDaemon) -> None:
    async def find() -> str:
        await daemon.start()
        return daemon.uri

    connection = LibvirtConnection(find)
    assert await connection.call(lambda libvirt: libvirt.numOfDomains()) == 0
    pid = daemon.pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Retryable, match="did not answer within"):
            await connection.call(lambda libvirt: libvirt.numOfDomains(), timeout=0.5)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await connection.call(lambda libvirt: libvirt.numOfDomains()) == 0
    connection.close()


async def test_where_no_libvirtd_answers_start_up_says_what_to_do(folder: Path) -> None:
    hypervisor = LibvirtHypervisor(folder, uri=f"qemu+unix:///system?socket={folder}/none")
    with pytest.raises(Misconfigured, match="systemctl start libvirtd"):
        await hypervisor.start_up()


async def test_foreign_domains_are_neither_seen_nor_touched(
    hypervisor: LibvirtHypervisor, daemon: LibvirtDaemon
) -> None:
    connection = load().open(daemon.uri)
    foreign = connection.defineXML(
        "<domain type='qemu'><name>foreign</name><memory>65536</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    )
    server = ServerId(foreign.UUIDString())
    assert await hypervisor.machines() == frozenset()
    assert await hypervisor.power(server) is None
    await hypervisor.delete(server)
    assert [domain.name() for domain in connection.listAllDomains()] == ["foreign"]
    connection.close()

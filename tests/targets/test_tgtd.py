"""The daemon of our own: it outlives who started it, is found again, is never two, and ends cleanly."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.ports import free_port

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.tgt import TgtTarget
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.model.errors import Conflict, Misconfigured, Retryable
from pumice.model.ids import AttachmentId, VolumeId, new_id

pytestmark = pytest.mark.real

STARTER = """
import asyncio, pathlib, sys, time
from pumice.backends.targets.tgtd import TgtDaemon
asyncio.run(TgtDaemon(pathlib.Path(sys.argv[1]), sys.argv[2]).start())
print("\\nstarted", flush=True)
time.sleep(60)
"""


@pytest.fixture
def portal() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
async def daemon(tmp_path: Path, portal: str) -> AsyncIterator[TgtDaemon]:
    """A daemon not started yet; ended after the test in any case."""
    daemon = TgtDaemon(tmp_path / "tgtd", portal)
    yield daemon
    await daemon.stop(force=True)
    assert daemon.pid() is None


async def test_it_survives_the_death_of_its_starter_and_is_found_again(daemon: TgtDaemon) -> None:
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, daemon.ipc_socket.parent, daemon.portal, stdout=asyncio.subprocess.PIPE
    )
    assert starter.stdout
    await starter.stdout.readuntil(b"\nstarted\n")
    pid = daemon.pid()
    assert pid and os.getsid(pid) == pid
    starter.kill()
    await starter.wait()
    await daemon.start()
    assert daemon.pid() == pid
    assert await asyncio.to_thread(daemon.management.portals) == [daemon.portal]


async def test_it_is_never_two(daemon: TgtDaemon) -> None:
    others = [TgtDaemon(daemon.ipc_socket.parent, daemon.portal) for _ in range(4)]
    await asyncio.gather(daemon.start(), *(other.start() for other in others))
    assert len({one.pid() for one in (daemon, *others)}) == 1


async def test_it_is_not_ended_while_it_exports_unless_forced(daemon: TgtDaemon, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.write_bytes(bytes(4096))
    await daemon.start()
    target = TgtTarget(daemon.portal, daemon=daemon)
    grant = Grant(AttachmentId(new_id()), "iqn.1993-08.org.debian:host", "user", "a secret word")
    await target.grant(VolumeId(new_id()), device, grant)
    with pytest.raises(Conflict, match="still exports 1 volume"):
        await daemon.stop()
    assert daemon.pid()
    await daemon.stop(force=True)
    assert daemon.pid() is None


async def test_it_ends_without_being_killed_and_may_be_ended_twice(daemon: TgtDaemon) -> None:
    await daemon.start()
    first = daemon.pid()
    await daemon.stop()
    await daemon.stop()
    assert daemon.pid() is None
    await daemon.start()
    assert daemon.pid() not in (None, first)


async def test_one_that_hangs_is_reported_and_can_be_killed(daemon: TgtDaemon) -> None:
    await daemon.start()
    pid = daemon.pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    impatient = TgtDaemon(daemon.ipc_socket.parent, daemon.portal, timeout=0.5)
    with pytest.raises(Retryable, match="does not answer") as told:
        await impatient.start()
    assert f"tgtd, process {pid}" in told.value.detail
    with pytest.raises(Retryable, match="does not answer"):
        await impatient.stop()
    assert daemon.pid() == pid
    await impatient.stop(force=True)
    assert daemon.pid() is None


async def test_a_taken_port_is_refused_before_tgtd_would_listen_everywhere(daemon: TgtDaemon) -> None:
    host, _, port = daemon.portal.rpartition(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(Misconfigured, match=rf"cannot listen at {daemon.portal}: .*in use"),
    ):
        await daemon.start()
    assert daemon.pid() is None


async def export(daemon: TgtDaemon, tmp_path: Path) -> None:
    """Start it, with something to log in to."""
    device = tmp_path / "device"
    device.write_bytes(bytes(4096))
    await daemon.start()
    grant = Grant(AttachmentId(new_id()), "iqn.1993-08.org.debian:host", "user", "a secret word")
    await TgtTarget(daemon.portal, daemon=daemon).grant(VolumeId(new_id()), device, grant)


async def test_one_that_outlived_a_change_of_its_portal_moves_there_with_its_sessions(
    daemon: TgtDaemon, portal: str, tmp_path: Path
) -> None:
    moved = TgtDaemon(daemon.ipc_socket.parent, f"127.0.0.2:{free_port('127.0.0.2')}")
    await export(daemon, tmp_path)
    host, _, port = portal.rpartition(":")
    with socket.create_connection((host, int(port))) as session:
        pid = daemon.pid()
        await moved.start()
        assert (moved.pid(), moved.management.portals()) == (pid, [moved.portal])
        session.setblocking(False)
        with pytest.raises(BlockingIOError):
            session.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    there, _, port = moved.portal.rpartition(":")
    socket.create_connection((there, int(port))).close()


async def test_one_that_cannot_move_says_so_and_stays_where_it_is_with_its_targets(
    daemon: TgtDaemon, tmp_path: Path
) -> None:
    await export(daemon, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        moved = TgtDaemon(daemon.ipc_socket.parent, f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Misconfigured, match="cannot listen at"):
            await moved.start()
    assert daemon.management.portals() == [daemon.portal]


async def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path, portal: str) -> None:
    with pytest.raises(Misconfigured, match="choose a shorter state directory"):
        await TgtDaemon(tmp_path / ("x" * 108), portal).start()


async def test_secrets_are_in_no_log_and_the_folder_is_private(daemon: TgtDaemon, tmp_path: Path) -> None:
    await export(daemon, tmp_path)
    assert "a secret word" not in daemon.log_file.read_text()
    assert daemon.ipc_socket.parent.stat().st_mode & 0o777 == 0o700
    assert daemon.log_file.stat().st_mode & 0o777 == 0o600

"""tgtd and libvirtd are killed, while guests run and operations are under way."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from stories import SERVERS, VOLUMES, Stories
from tests.patience import PATIENCE

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def comes_right(real: Stories) -> None:
    """What a daemon lost with its life is restored when its loop comes round."""
    real.pumice.wait(
        lambda: not real.pumice.violations(), f"it does not come right: {real.pumice.violations()}"
    )


def bytes_of(real: Stories, volume: str) -> bytes:
    """The beginning of a volume, as its backing file holds it."""
    with (real.pumice.state_dir / "volumes" / "files" / "volumes" / volume).open("rb") as file:
        return file.read(4096)


def guest_writes(real: Stories, server: str, volume: str, words: bytes = b"hello from the guest") -> None:
    """Wait for what the guest writes to be on the volume."""
    end = time.monotonic() + PATIENCE
    while words not in bytes_of(real, volume):
        assert time.monotonic() < end, f"the guest does not write; it says: {real.console(server)[-2000:]}"
        time.sleep(0.05)


@contextmanager
def attached(real: Stories, server: str, volume: str) -> Iterator[None]:
    real.attach(server, volume)
    real.pumice.settle()
    real.volume_is(volume, "in-use")
    yield
    real.detach(server, volume)
    real.pumice.settle()
    real.volume_is(volume, "available")


# --- tgtd ---------------------------------------------------------------------------------------


def test_a_guest_goes_on_with_its_disk_when_tgtd_was_killed(real: Stories, guest: str, volume: str) -> None:
    with attached(real, guest, volume):
        guest_writes(real, guest, volume)
        kill(real.pumice.tgtd.pid())
        real.type_into(guest, "echo after the crash | dd of=/dev/vdb bs=512 seek=1 conv=fsync,notrunc")
        guest_writes(real, guest, volume, b"after the crash")
    comes_right(real)


@contextmanager
def tgtd_kept_down(real: Stories) -> Iterator[None]:
    """tgtd is dead, and somebody else listens at its portal."""
    host, _, port = real.pumice.environment["PUMICE_TGT__PORTAL"].rpartition(":")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def takes_the_portal() -> bool:
            if pid := real.pumice.tgtd.pid():
                kill(pid)
            try:
                squatter.bind((host, int(port)))
            except OSError:
                return False
            squatter.listen()
            return True

        real.pumice.wait(takes_the_portal, "the portal is not free")
        yield


def test_attaching_while_tgtd_cannot_run_ends_explained_with_the_volume_free(
    real: Stories, guest: str, volume: str
) -> None:
    with tgtd_kept_down(real):
        real.attach(guest, volume)
        real.pumice.settle()
        real.volume_is(volume, "available")
        assert "is not set up for this" in real.messages(volume)[0]
    with attached(real, guest, volume):
        pass
    comes_right(real)


def test_detaching_while_tgtd_cannot_run_frees_the_volume(real: Stories, guest: str, volume: str) -> None:
    real.attach(guest, volume)
    real.pumice.settle()
    guest_writes(real, guest, volume)
    with tgtd_kept_down(real):
        real.detach(guest, volume)
        real.pumice.settle()
        real.volume_is(volume, "available")
    real.pumice.wait(lambda: not real.pumice.violations(), "the exports of the others do not come back")


# --- libvirtd -----------------------------------------------------------------------------------


def kill_libvirtd(real: Stories) -> None:
    """Kill it; one that an earlier kill took is being started again by the operation under way."""

    def killed() -> bool:
        if pid := real.pumice.libvirtd.pid():
            kill(pid)
        return pid is not None

    real.pumice.wait(killed, "nobody starts libvirtd")


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.3])
def test_attaching_and_detaching_end_as_asked_when_libvirtd_is_killed_meanwhile(
    real: Stories, guest: str, volume: str, after: float
) -> None:
    for act, status in ((real.attach, "in-use"), (real.detach, "available")):
        act(guest, volume)
        time.sleep(after)
        kill_libvirtd(real)
        real.pumice.settle()
        real.volume_is(volume, status)
    comes_right(real)


@pytest.mark.parametrize("after", [0.0, 0.5])
def test_booting_and_deleting_end_as_asked_when_libvirtd_is_killed_meanwhile(
    real: Stories, after: float
) -> None:
    root = real.create(imageRef=real.image)
    real.pumice.settle()
    server = real.boot(root)
    time.sleep(after)
    kill_libvirtd(real)
    real.pumice.settle()
    real.server_is(server, "ACTIVE")
    real.delete(f"{SERVERS}/{server}")
    kill_libvirtd(real)
    real.pumice.settle()
    real.is_gone(f"{SERVERS}/{server}")
    real.volume_is(root, "available")
    real.delete(f"{VOLUMES}/{root}")
    comes_right(real)

"""The reference stack with two paths to its target: one is cut while a disk is written, and comes back."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from initiators import paths
from reference_stack import logical, reference_stack, what_is_there
from stories import VOLUMES, Stories
from tests.pumice_installation import Installation

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(1800), pytest.mark.long]

ADDRESSES = ["192.0.2.1", "192.0.2.2"]
BLOCK = 4096


def ip(*words: str) -> None:
    subprocess.run(["ip", *words, "dev", "lo"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def stories() -> Iterator[Stories]:
    for address in ADDRESSES:
        ip("addr", "replace", f"{address}/32")
    settings = {
        "PUMICE_COMPUTE__DRIVER": "fake",
        "PUMICE_COMPUTE__MULTIPATH": "true",
        "PUMICE_LIO__PORTALS": json.dumps([f"{address}:3260" for address in ADDRESSES]),
    }
    with reference_stack(**settings) as pumice:
        pumice.start()
        stories = Stories(pumice)
        stories.image = stories.upload(os.urandom(1 << 20), "raw")
        yield stories


def maps() -> set[Path]:
    """Devices with several paths."""
    return set(Path("/dev/disk/by-id").glob("dm-uuid-mpath-*"))


class Writer:
    """Numbers the blocks of a device from its beginning, each on the disk before the next."""

    def __init__(self, device: Path) -> None:
        self.written = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, args=(device,))
        self._thread.start()

    def _write(self, device: Path) -> None:
        fd = os.open(device, os.O_RDWR | os.O_SYNC | os.O_CLOEXEC)
        try:
            while not self._stop.wait(0.02):
                os.pwrite(fd, self.written.to_bytes(8, "big").ljust(BLOCK), self.written * BLOCK)
                self.written += 1
        finally:
            os.close(fd)

    def goes_on(self, pumice: Installation) -> None:
        before = self.written
        pumice.wait(lambda: self.written > before + 20, "nothing is written any more", 120)

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_a_path_is_cut_while_a_servers_disk_is_written(stories: Stories) -> None:
    pumice = stories.pumice
    root = stories.create(imageRef=stories.image)
    pumice.settle()
    server = stories.boot(root)
    pumice.settle()
    before, known = what_is_there(), maps()
    volume = stories.create()
    pumice.settle()
    stories.attach(server, volume)
    pumice.settle()
    stories.volume_is(volume, "in-use")
    [device] = maps() - known
    writer = Writer(device)
    try:
        writer.goes_on(pumice)
        ip("addr", "del", f"{ADDRESSES[1]}/32")
        pumice.wait(lambda: paths() == 2, "the cut is not noticed", 120)  # one path each, to two disks
        writer.goes_on(pumice)
        ip("addr", "replace", f"{ADDRESSES[1]}/32")
        pumice.wait(lambda: paths() == 4, "the path does not come back", 120)
        writer.goes_on(pumice)
    finally:
        writer.end()
    stories.detach(server, volume)
    pumice.settle()
    stories.volume_is(volume, "available")
    with logical(volume).open("rb") as file:
        for number in range(writer.written):
            assert file.read(BLOCK) == number.to_bytes(8, "big").ljust(BLOCK), number
    stories.delete(f"{VOLUMES}/{volume}")
    pumice.settle()
    assert (what_is_there(), maps()) == (before, known)
    assert not pumice.violations()

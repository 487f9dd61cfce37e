"""Disks that can hang in the kernel: what waits for one cannot be killed."""

import contextlib
import fcntl
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


class Disk:
    """A file system of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "mounted"
        self.path.mkdir(parents=True)
        self.image = self._image(directory)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", self.image], check=True)
        if self._mount():
            self._unmake()
            pytest.skip("this machine does not let the test mount a loop device")

    def _image(self, directory: Path) -> Path:
        image = directory / "disk"
        image.touch()
        os.truncate(image, 8 * 1024**3)
        return image

    def _mount(self) -> int:
        return subprocess.run(["mount", "-o", "loop", self.image, self.path], capture_output=True).returncode

    def _unmake(self) -> None:
        """Its image is not needed any more."""

    def forget(self) -> None:
        """Nothing of it is in memory."""
        subprocess.run(["umount", self.path], check=True)
        assert self._mount() == 0

    def _ask(self, what: int) -> None:
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, what, 0)
        finally:
            os.close(directory)

    def freeze(self) -> str:
        """It hangs from now on. The command that ends it."""
        self._ask(FIFREEZE)
        return f"fsfreeze -u {self.path}"

    def thaw(self) -> None:
        """It does not hang any more."""
        with contextlib.suppress(OSError):  # the guard has
            self._ask(FITHAW)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        thaw = f"sleep {2 * PATIENCE}; {self.freeze()}"  # whatever becomes of this test
        guard = subprocess.Popen(["sh", "-c", thaw], stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(guard.pid, signal.SIGKILL)
            guard.wait()
            self.thaw()

    def close(self) -> None:
        subprocess.run(["umount", "-l", self.path], check=True)
        self._unmake()


class ServedDisk(Disk):
    """A disk whose bytes a process serves to the kernel: none come while it is stopped."""

    def _image(self, directory: Path) -> Path:
        kept, served = super()._image(directory), directory / "served"
        served.touch()
        options = {
            "--blockdev": f"driver=file,node-name=kept,filename={kept}",
            "--export": f"type=fuse,id=served,node-name=kept,mountpoint={served},writable=on",
        }
        self.server = subprocess.Popen(["qemu-storage-daemon", *itertools.chain(*options.items())])
        give_up = time.monotonic() + PATIENCE
        while not os.path.ismount(served):
            assert self.server.poll() is None and time.monotonic() < give_up, "it is not served"
            time.sleep(0.01)
        return served

    def _unmake(self) -> None:
        self.server.terminate()
        self.server.wait(PATIENCE)

    def freeze(self) -> str:
        self.server.send_signal(signal.SIGSTOP)
        return f"kill -CONT {self.server.pid}"

    def thaw(self) -> None:
        self.server.send_signal(signal.SIGCONT)

"""A disk that loses its power: what was flushed is there, of what was not any part may be.

    /dev/mapper/power ──▶ the disk
          │  dm-log-writes: every write, in its order, and every flush
          ▼
       the log ──▶ at a cut, onto the twin: all up to the last flush, and a part of the rest, drawn from a seed

After a cut the disk is made as its twin is, so the next round begins with two that are the same. See
https://docs.kernel.org/admin-guide/device-mapper/log-writes.html for what is in the log.
"""

import os
import random
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
NAME = "power"
DEVICE = Path("/dev/mapper") / NAME
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8
_MAGIC = 0x6A736677736872


class Write(NamedTuple):
    """An entry of the log: what was written, and where its bytes are in the log."""

    sector: int
    sectors: int
    flags: int
    at: int


class Cut(NamedTuple):
    """What a loss of power came to, in writes."""

    kept: int
    lost: int
    """Of those that were not flushed."""


class LosingDisk:
    """A file system of a kind on three empty disks of one size: the disk, the log (larger), the twin."""

    def __init__(self, kind: str, place: Path, disk: str, log: str, twin: str, seed: int) -> None:
        self.place = place
        self._disk, self._log, self._twin = disk, log, twin
        self._sectors = int(run("blockdev", "--getsz", disk))
        self._dice = random.Random(seed)
        run("dmsetup", "create", NAME, "--table", self._recording())
        options = ["-F", "-E", "nodiscard"] if kind == "ext4" else ["-f", "-K"]
        run(f"mkfs.{kind}", "-q", *options, DEVICE)
        run("mount", DEVICE, place)

    def _recording(self) -> str:
        run("dd", "if=/dev/zero", f"of={self._log}", "bs=64K", "count=1", "conv=fsync")
        return f"0 {self._sectors} log-writes {self._disk} {self._log}"

    def cut(self) -> None:
        """From now on nothing gets there, and nothing comes from there."""
        self._turn(f"0 {self._sectors} error")

    def _turn(self, table: str) -> None:
        run("dmsetup", "suspend", "--noflush", "--nolockfs", NAME)
        run("dmsetup", "load", NAME, "--table", table)
        run("dmsetup", "resume", NAME)

    def restore(self) -> Cut:
        """The power is back. Whoever used it was killed, and may hold files for a moment."""
        give_up = time.monotonic() + 60
        while subprocess.run(["umount", self.place], check=False, capture_output=True).returncode:
            assert time.monotonic() < give_up, f"{self.place} is still in use"
            time.sleep(0.1)
        cut = self._lose()
        self._turn(self._recording())
        run("mount", DEVICE, self.place)
        return cut

    def close(self) -> None:
        """Leave the disks to whoever comes next, empty as they were."""
        subprocess.run(["umount", "--lazy", self.place], check=False)
        run("dmsetup", "remove", "--retry", NAME)
        for disk in (self._disk, self._log, self._twin):
            run("blkdiscard", "--force", disk)

    def _lose(self) -> Cut:
        flags = os.O_RDWR
        log, twin, disk = (os.open(it, flags) for it in (self._log, self._twin, self._disk))
        try:
            writes = list(_entries(log))
            last = max(number for number, it in enumerate(writes) if it.flags & _FLUSH)
            kept, lost = writes[: last + 1], list[Write]()
            for write in writes[last + 1 :]:
                if not write.sectors:
                    continue
                survives = write.flags & _FUA or self._dice.random() < 0.5
                (kept if survives else lost).append(write)
            for write in kept:
                _copy(log, write.at, twin, write)
            for write in writes[last + 1 :]:
                _copy(twin, write.sector * SECTOR, disk, write)
            for it in (twin, disk):
                os.fsync(it)
        finally:
            for it in (log, twin, disk):
                os.close(it)
        return Cut(sum(bool(it.sectors) for it in kept), len(lost))


def _entries(log: int) -> Iterator[Write]:
    magic, _, entries, size = struct.unpack("<QQQI", os.pread(log, 28, 0))
    assert (magic, size) == (_MAGIC, SECTOR), f"this is no log of writes: {magic:x}, {size}"
    at = SECTOR
    for _ in range(entries):
        sector, sectors, flags, _ = struct.unpack("<QQQQ", os.pread(log, 32, at))
        at += SECTOR
        if flags & (_DISCARD | _MARK):
            continue
        yield Write(sector, sectors, flags, at)
        at += sectors * SECTOR


def _copy(source: int, at: int, target: int, write: Write) -> None:
    done, length = 0, write.sectors * SECTOR
    while done < length:
        piece = os.pread(source, min(length - done, 1 << 20), at + done)
        os.pwrite(target, piece, write.sector * SECTOR + done)
        done += len(piece)


def run(*argv: object) -> str:
    """A command that must succeed; what it says."""
    done = subprocess.run(list(map(str, argv)), check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout

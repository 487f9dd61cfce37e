"""A disk that loses its power: what was flushed is there, of what was not any part may be.

    /dev/mapper/power ──▶ the disk
          │  dm-log-writes: every write, in its order, and every flush
          ▼
       the log    … write  FLUSH  mark  write  write  FLUSH  write  write  write ╎ write  FLUSH …
                  ╰──────────── on the twin ────────────────╯ ╰─ a part of it ─╯ ╎ never written
                                                                               the cut

The cut is behind the mark, in the midst of writes that the next flush would have kept: where, and which of them
are lost, is drawn from a seed. After a cut the disk is made as its twin is, so the next round begins with two
that are the same. See https://docs.kernel.org/admin-guide/device-mapper/log-writes.html for what is in the log.
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
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
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
    """Of those that had reached the disk and were not flushed; at least one."""


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

    def mark(self) -> None:
        """Whatever was flushed until now will outlive the cut."""
        run("dmsetup", "message", NAME, "0", "mark", "answered")

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
            places = list(cuts(writes))
            assert places, "nothing was written behind the mark that a flush would have kept"
            flushed, end = self._dice.choice(places)
            at_stake = [it for it in writes[flushed:end] if _unflushed(it)]
            lost = {*self._dice.sample(at_stake, self._dice.randint(1, len(at_stake)))}
            kept = [it for it in writes[:end] if it not in lost]
            for write in kept:
                _copy(log, write.at, twin, write)
            for write in writes[flushed:]:
                _copy(twin, write.sector * SECTOR, disk, write)
            for it in (twin, disk):
                os.fsync(it)
        finally:
            for it in (log, twin, disk):
                os.close(it)
        return Cut(sum(bool(it.sectors) for it in kept), len(lost))


def _unflushed(write: Write) -> bool:
    """Whether it may be lost until the next flush."""
    return bool(write.sectors) and not write.flags & FUA


def cuts(writes: list[Write]) -> Iterator[tuple[int, int]]:
    """Where power may fail behind the mark: how many writes are flushed, and how many have reached the disk."""
    marked, flushed, at_stake = False, 0, False
    for number, write in enumerate(writes, 1):
        marked |= bool(write.flags & MARK)
        at_stake |= _unflushed(write)
        if write.flags & FLUSH:
            flushed, at_stake = number, False
        elif marked and at_stake:
            yield flushed, number


def _entries(log: int) -> Iterator[Write]:
    magic, _, entries, size = struct.unpack("<QQQI", os.pread(log, 28, 0))
    assert (magic, size) == (_MAGIC, SECTOR), f"this is no log of writes: {magic:x}, {size}"
    at = SECTOR
    for _ in range(entries):
        sector, sectors, flags, _ = struct.unpack("<QQQQ", os.pread(log, 32, at))
        at += SECTOR
        if flags & DISCARD:
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

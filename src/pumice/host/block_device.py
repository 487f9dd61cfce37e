"""Block devices: make a range of one read as zeroes, or tell the disk below that it is free.

Done by the kernel (BLKZEROOUT, BLKDISCARD): a disk that can write zeroes by itself is told to, another is
written.
"""

import asyncio
import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from pumice.host import durable
from pumice.host.thread import in_thread
from pumice.model.units import MIB

_ZERO_OUT = 0x127F
_DISCARD = 0x1277
_PIECE = 64 * MIB


async def zero(
    device: Path,
    start: int,
    end: int,
    progress: Callable[[float], None] | None = None,
    *,
    mib_per_second: float | None = None,
) -> None:
    """Make bytes ``start`` to ``end`` read as zeroes, no faster than ``mib_per_second``. May be cancelled."""
    begun = time.monotonic()
    for offset in range(start, end, _PIECE):
        length = min(_PIECE, end - offset)
        await in_thread(_ask, device, _ZERO_OUT, offset, length)
        done = offset + length - start
        if progress:
            progress(done / (end - start))
        if mib_per_second:
            await asyncio.sleep(begun + done / MIB / mib_per_second - time.monotonic())


async def discard(device: Path, start: int, end: int) -> None:
    """Tell the disk that a range is free, if it wants to know. What it reads as then is the disk's affair."""
    try:
        await in_thread(_ask, device, _DISCARD, start, end - start)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


async def sync(device: Path) -> None:
    """Have everything that was written on disk."""
    await in_thread(durable.sync, device)


def _ask(device: Path, request: int, offset: int, length: int) -> None:
    file = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(file, request, struct.pack("QQ", offset, length))
    finally:
        os.close(file)

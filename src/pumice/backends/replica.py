"""Copy the bytes of one device to another that reads as zeroes, and tell by a digest what bytes one has.

Of a file only what is allocated is read, and of neither are zeroes written: what was sparse or thin stays so.
A device is a regular file or a block device; what a fake hands out holds nothing.
"""

import asyncio
import errno
import hashlib
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pumice.backends.contract import Progress
from pumice.backends.sparse import data_ranges
from pumice.host.thread import in_thread
from pumice.model.errors import Retryable, TryAnotherBackend
from pumice.model.export import Device
from pumice.model.units import MIB

_PIECE = MIB
_ZEROES = bytes(_PIECE)
_THREADS, _AT_ONCE = 4, 12
"""Threads that read and write pieces, and how many are in memory at most."""
_FULL = {errno.ENOSPC, errno.EDQUOT}

Tell = Callable[[float], None]


async def copy(source: Path, target: Path, size: int, progress: Progress) -> str:
    """Copy ``size`` bytes, and have them on disk. The digest of what was read.

    Raises ``TryAnotherBackend`` where the target is full, or ``Retryable``.
    """
    return await _stoppable(progress, lambda tell, stop: _copy(source, target, size, tell, stop))


async def digest(device: Path, size: int, progress: Progress) -> str:
    """The digest of the ``size`` bytes that are on disk: of two that are equal it is the same.

    Raises ``Retryable`` where they cannot be read.
    """
    return await _stoppable(progress, lambda tell, stop: _digest(device, size, tell, stop))


async def are_one(first: Device, second: Device) -> bool:
    """Whether two names are those of one file, block device or image."""
    if isinstance(first, Path) and isinstance(second, Path):
        return await in_thread(_are_one, first, second)
    return first == second


# --- in threads ------------------------------------------------------------------------------------------


async def _stoppable(progress: Progress, work: Callable[[Tell, threading.Event], str]) -> str:
    """``work`` in a thread; it is told to stop when the caller is cancelled."""
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def tell(done: float) -> None:
        loop.call_soon_threadsafe(progress, done)

    return await in_thread(work, tell, stop, stop=stop)


def _copy(source: Path, target: Path, size: int, tell: Tell, stop: threading.Event) -> str:
    with _opened(source, os.O_RDONLY) as origin, _opened(target, os.O_RDWR) as copied:
        found = _digest_of(origin, size, tell, stop, copied)
        if stat.S_ISREG(os.fstat(copied).st_mode) or stat.S_ISBLK(os.fstat(copied).st_mode):
            os.fsync(copied)
    return found


def _digest(device: Path, size: int, tell: Tell, stop: threading.Event) -> str:
    with _opened(device, os.O_RDONLY) as file:
        _forget_cached(file)
        return _digest_of(file, size, tell, stop)


def _digest_of(file: int, size: int, tell: Tell, stop: threading.Event, copied: int | None = None) -> str:
    """The digest of the pieces that are not all zeroes, each of which is written to ``copied`` as well.

    Some are read and written at once, while those before them are added up. Ends early once ``stop`` is set.
    """
    found, under_way = hashlib.sha256(), deque[Future[tuple[int, bytearray, int]]]()
    buffers = [bytearray(_PIECE) for _ in range(_AT_ONCE)]

    def take(offset: int, buffer: bytearray) -> tuple[int, bytearray, int]:
        length = min(_PIECE, size - offset)
        piece = memoryview(buffer)[:length]
        _read(file, offset, piece)
        if (buffer if length == _PIECE else buffer[:length]) == _ZEROES[:length]:
            return offset, buffer, 0
        if copied is not None:
            _write(copied, offset, piece)
        return offset, buffer, length

    def add_up() -> bytearray:
        offset, buffer, length = under_way.popleft().result()
        if length:
            found.update(offset.to_bytes(8))
            found.update(memoryview(buffer)[:length])
        tell(offset / size)
        return buffer

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="replica") as threads:
        for offset in _offsets(file, size):
            if stop.is_set():
                break
            buffer = buffers.pop() if buffers else add_up()
            under_way.append(threads.submit(take, offset, buffer))
        while under_way:
            add_up()
    tell(1.0)
    return found.hexdigest()


def _are_one(first: Path, second: Path) -> bool:
    one, other = first.stat(), second.stat()
    if stat.S_ISBLK(one.st_mode):
        return stat.S_ISBLK(other.st_mode) and one.st_rdev == other.st_rdev
    return stat.S_ISREG(one.st_mode) and os.path.samestat(one, other)


def _offsets(file: int, size: int) -> Iterator[int]:
    """Where the pieces begin in which something is allocated."""
    if stat.S_ISCHR(os.fstat(file).st_mode):
        return
    at = 0
    for start, end in data_ranges(file, size):
        at = max(at, start - start % _PIECE)
        while at < end:
            yield at
            at += _PIECE


def _read(file: int, offset: int, piece: memoryview) -> None:
    done = 0
    while done < len(piece):
        some = os.preadv(file, [piece[done:]], offset + done)
        if not some:
            raise OSError(errno.EIO, "it is smaller than its volume")
        done += some


def _write(file: int, offset: int, piece: memoryview) -> None:
    done = 0
    while done < len(piece):
        done += os.pwrite(file, piece[done:], offset + done)


def _forget_cached(file: int) -> None:
    """Have what is read next come from the disk, as far as the kernel is willing."""
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _opened(device: Path, how: int) -> Iterator[int]:
    """A device, and its errors in the contract's words."""
    try:
        file = os.open(device, how | os.O_CLOEXEC)
        try:
            yield file
        finally:
            os.close(file)
    except OSError as error:
        if error.errno in _FULL:
            raise TryAnotherBackend("There is no space left for the bytes.") from error
        raise Retryable(f"The bytes cannot be read or written: {error.strerror or error}.") from error

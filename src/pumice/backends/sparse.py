"""Copy a sparse file: by sharing its blocks where the file system can, else only the bytes that are there.

Synchronous; called in threads. The target is an empty file made for the purpose.
"""

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile

from pumice.model.units import MIB

_FICLONE = 0x40049409
"""ioctl_ficlonerange(2): the target becomes a reference to all of the source's blocks."""

_UNABLE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}
"""What a file system says that cannot share blocks, or not between these two files."""

_STEP = 16 * MIB
"""How many bytes are copied before looking whether to stop."""

_PIECE = MIB


def share(source: Path, target: Path) -> bool:
    """Make ``target`` a reflink of ``source``: in milliseconds, and all of one moment.

    Returns whether that is possible between these two files.
    """
    with source.open("rb") as origin, target.open("r+b") as copied:
        try:
            fcntl.ioctl(copied, _FICLONE, origin.fileno())
        except OSError as error:
            if error.errno in _UNABLE:
                return False
            raise
    return True


def can_share(directory: Path) -> bool:
    """Whether files in a directory can share blocks, tried with two that have no name."""
    with TemporaryFile(dir=directory) as origin, TemporaryFile(dir=directory) as copied:
        os.ftruncate(origin.fileno(), MIB)
        os.pwrite(origin.fileno(), b"pumice", 0)
        try:
            fcntl.ioctl(copied, _FICLONE, origin.fileno())
        except OSError as error:
            if error.errno in _UNABLE:
                return False
            raise
    return True


def copy(source: Path, target: Path, progress: Callable[[float], None], stop: threading.Event) -> None:
    """Copy what ``source`` holds and leave its holes as holes; return early, unfinished, once ``stop`` is set.

    A source that is written to meanwhile is copied with some of the writes and without others.
    """
    with source.open("rb") as origin, target.open("r+b") as copied:
        size = os.fstat(origin.fileno()).st_size
        os.ftruncate(copied.fileno(), size)
        for start, end in data_ranges(origin.fileno(), size):
            for offset in range(start, end, _STEP):
                if stop.is_set():
                    return
                _copy_range(origin.fileno(), copied.fileno(), offset, min(offset + _STEP, end))
                progress(offset / size)


def data_ranges(file: int, size: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """The ranges of ``file`` from ``start`` to ``size`` that hold data, in order (lseek(2), SEEK_DATA).

    A block device does not say: all of it may be data.
    """
    end = start
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            if error.errno == errno.EINVAL and stat.S_ISBLK(os.fstat(file).st_mode):
                yield end, size
                return
            raise
        end = min(os.lseek(file, start, os.SEEK_HOLE), size)
        if start < end:
            yield start, end


def _copy_range(source: int, target: int, offset: int, end: int) -> None:
    """Copy inside the kernel where it can (copy_file_range(2)), through this process where it cannot."""
    while offset < end:
        try:
            copied = os.copy_file_range(source, target, end - offset, offset, offset)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
            copied = os.pwrite(target, os.pread(source, min(_PIECE, end - offset), offset), offset)
        if copied == 0:
            raise OSError(errno.EIO, "the source ended before its size")
        offset += copied

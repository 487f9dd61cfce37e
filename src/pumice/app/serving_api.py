"""Whether a process serves the API of a state directory: each that does has a lock on the directory itself.

The lock is the kernel's, shared by workers and by everybody else who serves it, and ends with the process; it
keeps nobody out, and leaves no file.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCKS = Path("/proc/locks")


@contextmanager
def told(state_dir: Path) -> Iterator[None]:
    """This process serves the API, for as long as the ``with`` lasts."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks: then nobody is told
            fcntl.flock(directory, fcntl.LOCK_SH)
        yield
    finally:
        os.close(directory)


def process(state_dir: Path) -> str | None:
    """The number of a process that serves the API of this directory, ``unknown`` where it is not told."""
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(os.fstat(directory)) or "unknown"
    except OSError:
        return None
    finally:
        os.close(directory)
    return None


def _holder(directory: os.stat_result) -> str | None:
    meant = f"{os.major(directory.st_dev):02x}:{os.minor(directory.st_dev):02x}:{directory.st_ino}"
    with suppress(OSError):
        for line in _LOCKS.read_text().splitlines():
            match line.split():  # 1: FLOCK ADVISORY READ 9340 fe:00:1234 0 EOF
                case [_, "FLOCK", _, _, number, where, *_] if where == meant:
                    return number
    return None

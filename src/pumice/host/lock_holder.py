"""The process that holds the lock on a file: daemons are found by it, without a note that could grow stale.

The lock is only looked at and never taken, not even for a moment: a daemon that is just starting would find it
held, and give up.
"""

import fcntl
import os
import struct
from pathlib import Path

_FLOCK = struct.Struct("hhqqi")
"""``struct flock`` of 64-bit Linux: type, whence, start, length, process id."""


def lock_holder(path: Path | str) -> int | None:
    """The process id of who holds a POSIX lock on the file; None when nobody does, or there is no file."""
    try:
        with open(path, "rb") as file:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, *_, pid = _FLOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except FileNotFoundError:
        return None
    return None if kind == fcntl.F_UNLCK else int(pid)

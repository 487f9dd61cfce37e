"""Have what was written on disk, so that it outlives a power cut. Synchronous: to be called in a thread."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def sync(path: Path) -> None:
    """The bytes of a file or block device; of a directory, the names in it."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def forget_cached(path: Path) -> None:
    """Have what is read next of it come from the disk, as far as the kernel is willing."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)


def write_text(path: Path, text: str) -> None:
    """Make a file whole and at once: nobody ever sees half of it, also when several processes write it.

    It belongs to whom its directory belongs to: units of several accounts share a state directory.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.new")
    with _one_writer(made) as file:
        file.truncate(0)
        file.write(f"{text}\n")
        file.flush()
        give(made, path.parent)
        os.fsync(file.fileno())
        made.replace(path)
    sync(path.parent)


def give(path: Path, to_owner_of: Path) -> None:
    """Let a file belong to whom a directory belongs to, if we may: units of several accounts share that."""
    if os.geteuid() == 0:
        owner = to_owner_of.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


@contextlib.contextmanager
def _one_writer(path: Path) -> Iterator[TextIO]:
    """The file of this name, which nobody else writes or renames meanwhile."""
    while True:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_named(file.fileno(), path):  # else the writer before us has renamed it
                yield file
                return


def is_named(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has this name now, and not one renamed or removed since.

    One of an NFS may have become stale for good, whatever is mounted there now.
    """
    try:
        ours = os.fstat(descriptor)
    except OSError as error:
        if error.errno == errno.ESTALE:
            return False
        raise
    try:
        return os.path.samestat(ours, path.stat())
    except FileNotFoundError:
        return False

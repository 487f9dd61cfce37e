"""A volume's file is looked at before QEMU opens it: is it the one, and can it be used past the cache.

Past the host's page cache (O_DIRECT) a volume is read and written as its guest asks, no byte is kept twice in
memory, and on a file system of several hosts none reads what another has overwritten. Some file systems cannot.

The file may be on a mount that hangs. A look that does not come back is left behind, in threads of its
directory, so that such a mount costs neither the hypervisor nor other directories anything.
"""

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path

from pumice.host.thread import Threads
from pumice.hypervisor.contract import Disk, FileSource
from pumice.model.errors import Retryable

ANSWER_SECONDS = 10.0
LOOKS_AT_ONCE = 4


class Files:
    """The looks of one hypervisor. A directory may take ``seconds`` to answer."""

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        self._seconds = seconds
        self._threads: dict[Path, Threads] = {}

    async def looked_at(self, disk: Disk) -> Disk:
        """The disk with what was found; one that is no volume's file as it was. Raises ``Retryable``."""
        if disk.attachment is None or not isinstance(disk.source, FileSource):
            return disk
        path = disk.source.path
        threads = self._threads.setdefault(path.parent, Threads(str(path.parent), LOOKS_AT_ONCE))
        looking = threads.run(_opens_directly, disk.source, disk.read_only)
        looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        answered, _ = await asyncio.wait({looking}, timeout=self._seconds)
        if not answered:
            threads.cut(looking)
            raise Retryable(
                f"Volume {disk.serial} cannot be opened by its server's host.", f"{path.parent} hangs."
            )
        try:
            return replace(disk, source=replace(disk.source, direct=looking.result()))
        except OSError as error:
            raise Retryable(
                f"Volume {disk.serial} cannot be opened by its server's host.", f"{path}: {error.strerror}."
            ) from error


def _opens_directly(source: FileSource, read_only: bool) -> bool:
    """Whether a file that can be opened can be opened past the cache. Raises ``OSError`` or ``Retryable``."""
    how = (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC
    file = os.open(source.path, how)
    try:
        found = os.fstat(file).st_ino
    finally:
        os.close(file)
    if source.inode not in (None, found):
        raise Retryable(
            "The server's host has another file where the volume is kept.",
            f"See that the same directory is mounted on both: {source.path}.",
        )
    try:
        os.close(os.open(source.path, how | os.O_DIRECT))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True

"""A volume's file is looked at before QEMU opens it: is it there, and can it be used past the cache.

Past the host's page cache (O_DIRECT) a volume is read and written as its guest asks, no byte is kept twice in
memory, and on a file system of several hosts none reads what another has overwritten. Some file systems cannot.
"""

import errno
import os
from dataclasses import replace
from pathlib import Path

from pumice.host.thread import in_thread
from pumice.hypervisor.contract import Disk, FileSource
from pumice.model.errors import Retryable


async def looked_at(disk: Disk) -> Disk:
    """The disk with what was found. One that is no volume, or no file, is as it was. Raises ``Retryable``."""
    if disk.attachment is None or not isinstance(disk.source, FileSource):
        return disk
    try:
        direct = await in_thread(_opens_directly, disk.source.path)
    except OSError as error:
        raise Retryable(
            f"Volume {disk.serial} cannot be opened on this host: {disk.source.path}: {error.strerror}."
        ) from error
    return replace(disk, source=replace(disk.source, direct=direct))


def _opens_directly(path: Path) -> bool:
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True

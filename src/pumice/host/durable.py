"""Have what was written on disk, so that it outlives a power cut. Synchronous: to be called in a thread."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """The bytes of a file or block device; of a directory, the names in it."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)

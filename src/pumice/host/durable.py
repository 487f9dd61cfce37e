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


def write_text(path: Path, text: str) -> None:
    """Make a file whole and at once: nobody ever sees half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.new")
    made.write_text(f"{text}\n")
    sync(made)
    made.replace(path)
    sync(path.parent)

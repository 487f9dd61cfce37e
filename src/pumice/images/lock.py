"""The lock of an image: whoever holds it is the only one, on any host, who changes the image's files.

It is the kernel's (``flock``, which NFS carries to its server), so it ends with the process, however that ends.
Its file is made before anything else happens to the image, and loses its name only when files and row agree
again. So a lock file that nobody holds says that somebody died on the way, and there is no other trace to look
for. Synchronous: to be called in a thread, for a directory may be slow.
"""

import fcntl
import os
from pathlib import Path

from pumice.host import durable


class ImageLock:
    """A lock whose file is ``path``. It is not taken yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def take(self, *, left_behind: bool = False) -> bool:
        """Whether it could be had; ``left_behind``: only if its file is there already. Never waits."""
        while True:
            try:
                file = os.open(self._path, os.O_RDWR | (0 if left_behind else os.O_CREAT), 0o600)
            except FileNotFoundError:
                return False
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._file = file
            if durable.is_named(file, self._path):
                durable.sync(self._path.parent)  # a power cut must not take the trace and leave the rest
                return True
            self.let_go()  # whoever held it has just ended: this file is no lock any more

    def end(self) -> None:
        """Take the name away: files and row agree."""
        self._path.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Hold it no longer; with its name still there, somebody else is to finish what was begun."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

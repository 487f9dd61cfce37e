"""Space put by on a disk, for what frees space when there is none left.

A full disk under the database would refuse everything, deletes and log-ins included, and so stay full. So a
file holds some bytes from the beginning. When the disk is nearly full nothing new is accepted any more; when
it is full the file gives its bytes up, and what is left over for them is deletes' and log-ins'.
"""

import contextlib
import os
import shutil
from pathlib import Path

NAME = "reserve"
SHARE = 10
"""The reserve is never more than one part in so many of the disk."""


class Reserve:
    """``size`` bytes in a file of ``directory``; less where the disk is small, none for 0."""

    def __init__(self, directory: Path, size: int) -> None:
        self.directory = directory
        self.path = directory / NAME
        self._wanted = size
        self.low = False
        """Whether the disk has so little space left that nothing new is to be made."""

    @property
    def size(self) -> int:
        """Bytes that are put by when there is room for them."""
        return min(self._wanted, shutil.disk_usage(self.directory).total // SHARE)

    def keep(self) -> None:
        """Look how much is left; put by, or give up, what the answer asks for. To be called again and again."""
        size = self.size
        kept = self.path.stat().st_size if self.path.exists() else 0
        left = shutil.disk_usage(self.directory).free
        self.low = size > 0 and left + kept < 2 * size
        if self.low and left < size // 2:
            self.give_up()
        elif not self.low and kept < size:
            self._put_by(size)

    def give_up(self) -> bool:
        """Let the bytes go. Whether there were any."""
        self.low = True
        try:
            kept = self.path.stat().st_size
            self.path.unlink()
        except FileNotFoundError:
            return False
        return kept > 0

    def _put_by(self, size: int) -> None:
        with self.path.open("ab") as file:
            os.fchmod(file.fileno(), 0o600)
            with contextlib.suppress(OSError):  # it was just taken by somebody: the next look finds out
                os.posix_fallocate(file.fileno(), 0, size)
                return
        self.path.unlink(missing_ok=True)

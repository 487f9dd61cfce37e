"""What a store of backups must do: for steps a ``BackupStore``, below it ``Objects`` that one driver keeps.

Every call may be repeated, by a process that knows nothing but the backup's record, after a crash at any point.

* ``Retryable``: waiting may help. ``Misconfigured``: this machine lacks something, or the storage is not
  mounted. ``NotFound``: an object is not there. ``Damaged``: objects are there, and are not what was written.
* Absent is deleted.
* A cancelled call has stopped when it raises. What it has written whole is kept, and found by the next call.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from pumice.model.errors import PumiceError

POSIX = "cinder.backup.drivers.posix.PosixBackupDriver"
S3 = "cinder.backup.drivers.s3.S3BackupDriver"
"""The names by which Cinder's records call its drivers of the same layouts."""

Progress = Callable[[float], None]
"""Told how much of a long call is done, from 0.0 to 1.0. Called from the event loop."""


class Damaged(PumiceError):
    """What was written for a backup is not what is there now."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a store must know of a backup."""

    id: str
    volume_id: str
    size: int
    """bytes"""
    container: str
    prefix: str
    """What the names of its objects begin with."""
    created_at: datetime
    parent_id: str | None = None
    name: str | None = None
    description: str | None = None
    volume_meta: str | None = None
    """What its volume was, as JSON that Cinder reads too."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a backup."""

    objects: int
    """How many objects hold its bytes."""
    kept: int
    """How many of them stood from before, when it was begun anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """The objects of one backup, as they lie in the store."""

    id: str
    volume_id: str
    container: str
    prefix: str
    whole: bool
    """Whether it was written to its end."""


class Objects(Protocol):
    """Named bytes in containers. Synchronous: called in threads."""

    def put(self, container: str, name: str, data: bytes) -> None:
        """Keep an object, whole or not at all. One of the same name is replaced.

        Until it is settled a power cut may take it, or a part of it.
        """

    def settle(self, container: str, names: Sequence[str]) -> None:
        """Return when these objects, which are there, are there for good."""

    def get(self, container: str, name: str) -> bytes:
        """An object's bytes. Raises ``NotFound``."""

    def names(self, container: str, prefix: str) -> Sequence[str]:
        """The names in a container that begin so, sorted; none where none was ever put."""

    def remove(self, container: str, names: Sequence[str]) -> None:
        """Free objects for good, and their container when it is empty."""

    def every(self, containers: Collection[str]) -> Iterator[tuple[str, str]]:
        """Container and name of each object; ``containers`` are known to be in use."""

    def look(self) -> None:
        """Raise ``Misconfigured`` or ``Retryable`` when nothing can be kept here at the moment."""


class BackupStore(Protocol):
    """A store that a host writes backups to, and reads them from."""

    driver: str
    """The driver's name in settings: ``posix`` or ``s3``."""
    bucket: str | None
    """The container that all backups lie in; None where each has one of its own."""
    service: str
    """The name by which records of backups call the driver: Cinder's."""

    async def look(self) -> None:
        """Raise ``Misconfigured`` or ``Retryable`` when it cannot be used at the moment."""

    async def write(self, record: Record, device: Path, parent: Record | None, progress: Progress) -> Written:
        """Keep the bytes of a device or file, which nobody changes meanwhile.

        With a ``parent`` only what differs from it. One that was cut short goes on where it was.
        """

    async def restore(self, chain: Sequence[Record], device: Path, *, is_new: bool, progress: Progress) -> None:
        """Write the last backup of a chain, the full one first, to a device or file.

        ``is_new``: it is all zeroes. Raises ``Damaged`` when the bytes are not those that were backed up.
        """

    async def check(self, record: Record) -> tuple[int, dict[str, Any]]:
        """How many objects an imported one has, and what its volume was, by our own names.

        Raises ``Damaged`` or ``NotFound`` when not all of them are there.
        """

    async def delete(self, record: Record) -> None:
        """Free all of its objects, also those of a write that was cut short."""

    async def free(self, found: Found) -> None:
        """Free what was found, and belongs to nobody."""

    async def inventory(self, containers: Collection[str]) -> Sequence[Found]:
        """The backups that the store holds, for audits; ``containers`` are those that rows name."""

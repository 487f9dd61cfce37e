"""What a backend must do. ``docs/adding-a-driver.md`` is the checklist for writing one.

A backend keeps the bytes of volumes and snapshots in one or more *pools* of one host. It never sees the
database, the tenant or the API: it is told ids, pools and sizes, and names everything after the id, so that
any call may be repeated or undone after a crash by somebody who knows nothing but the id.

Rules that hold for every call, checked by ``tests/conformance/test_backends.py``:

* **Idempotent.** Asked twice, the second call finds the work done and returns as the first did. A create
  that was cut short is completed or begun anew, never taken for done: half-made bytes must never be served.
* **Absent is deleted.** Deleting what does not exist succeeds.
* **Errors.** ``Retryable``: waiting may help. ``TryAnotherBackend``: this pool cannot (full, broken),
  another might. ``NotFound``: the source does not exist. ``ImageRefused``: the image's fault.
  ``Misconfigured``: this machine lacks something. ``Invalid``: an id that is no UUID, which is a bug of ours.
  Nothing else.
* **Never blocks** the event loop: file and process work happens in threads and child processes, and every
  child process has a time limit.
* **Private.** A new volume reads as zeroes, whatever was deleted before it.
* **Cancellation.** A cancelled call leaves at most garbage under a temporary name, which the next call for the
  same id removes; and when it has raised, nothing of it works on in a thread.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pumice.model.errors import ImageRefused
from pumice.model.export import Device
from pumice.model.ids import SnapshotId, VolumeId
from pumice.model.image_location import RbdLocation
from pumice.model.mark import Mark
from pumice.model.stored import StoredObject
from pumice.model.units import gib_to_hold

Progress = Callable[[float], None]
"""Told how much of a long call is done, from 0.0 to 1.0. Cheap, called from the event loop."""


def no_progress(_: float) -> None:
    """Take no notice of how far a copy is."""


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What a pool reports of itself, in GiB. ``inf`` is a legal capacity (a fake, an elastic store)."""

    name: str
    total_gb: float
    free_gb: float
    thin: bool
    max_over_subscription_ratio: float = 20.0
    reserved_percentage: int = 0
    capabilities: dict[str, object] = field(default_factory=dict)
    """What else it can do; under ``IMAGE_CACHE`` how it clones, if bases of images are of use in it."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image on this host's disk, already inspected: its format is known, not guessed."""

    path: Path
    format: str
    """raw, qcow2, vmdk, vdi, vhd, vhdx or iso: the Image API's words (``disk_format``)."""
    virtual_size: int
    """bytes"""


@dataclass(frozen=True, slots=True)
class Manageable:
    """Bytes in a pool that are nobody's."""

    name: str
    size: int
    """bytes"""
    why_not: str | None = None
    """Why it cannot be adopted; None when it can."""
    origin: str | None = None
    """The name of what it is a snapshot or clone of, where the storage says."""


def require_fits(image: ImageFile, size: int) -> None:
    """Raises ``ImageRefused`` when the disk inside ``image`` is larger than ``size`` GiB."""
    needed = gib_to_hold(image.virtual_size)
    if needed > size:
        raise ImageRefused(f"The image's virtual size is {needed} GiB and does not fit into {size} GiB.")


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a backend holds."""

    pieces: frozenset[StoredObject]

    @property
    def volumes(self) -> frozenset[VolumeId]:
        """Every volume whose bytes are whole."""
        return frozenset(VolumeId(it.id) for it in self.pieces if it.whole and it.kind == "volume")

    @property
    def snapshots(self) -> frozenset[SnapshotId]:
        """Every snapshot whose bytes are whole."""
        return frozenset(SnapshotId(it.id) for it in self.pieces if it.whole and it.kind == "snapshot")

    @property
    def leftovers(self) -> frozenset[StoredObject]:
        """What calls that were cut short left, and nobody has cleared yet."""
        return frozenset(it for it in self.pieces if not it.whole)


class Backend(Protocol):
    """A configured backend of this host. Sizes are whole GiB, pools are names from ``pools()``."""

    driver: str
    """The driver's name in settings: ``files``, ``fake``…"""

    keeps: bool
    """Whether what it holds outlives the process."""

    async def pool_names(self) -> list[str]:
        """The pools that it has by its settings, whether they can be used or not."""

    async def mark(self, pool: str) -> Mark | None:
        """Whose the pool is, as was last written there, also before ``start``; None where nothing is."""

    async def set_mark(self, pool: str, ours: Mark) -> None:
        """Write that down where the pool's bytes are."""

    async def occupy(self, pool: str, *, shared: bool) -> None:
        """Serve a pool that is marked: no other process may, for as long as this object lives.

        With ``shared`` those may who say so as well. Done again it makes sure. Raises ``Misconfigured`` while
        another process has the pool.
        """

    async def start(self) -> None:
        """Check that the backend can work at all. Raises ``Misconfigured`` with what to do."""

    async def pools(self) -> list[PoolFacts]:
        """Fresh facts of every pool."""

    async def create(self, volume: VolumeId, pool: str, size: int) -> None:
        """An empty volume of ``size`` GiB."""

    async def create_from_volume(
        self, volume: VolumeId, pool: str, size: int, source: VolumeId, source_pool: str, progress: Progress
    ) -> None:
        """A volume that begins with the bytes ``source`` has now. ``size`` >= the source's size."""

    async def create_from_snapshot(
        self,
        volume: VolumeId,
        pool: str,
        size: int,
        source: SnapshotId,
        source_pool: str,
        progress: Progress,
    ) -> None:
        """A volume that begins with the snapshot's bytes. ``size`` >= the snapshot's size."""

    async def create_from_image(
        self, volume: VolumeId, pool: str, size: int, image: ImageFile, progress: Progress
    ) -> None:
        """A volume that begins with the image's bytes, converted to raw.

        Raises ``ImageRefused`` when the image's virtual size is larger than ``size`` GiB or when it cannot be
        converted within the limits.
        """

    async def clone_image(
        self, volume: VolumeId, pool: str, size: int, image: RbdLocation, progress: Progress
    ) -> bool:
        """A volume that begins as an image that a cluster of Ceph keeps, of which nothing is copied.

        False, and nothing is there, where that is not possible: then ``create_from_image`` is asked.
        ``size`` >= the image's size.
        """

    async def delete(self, volume: VolumeId, pool: str) -> None:
        """Free the volume's bytes for good, also those of a create that was cut short."""

    async def extend(self, volume: VolumeId, pool: str, size: int) -> None:
        """Grow the volume to ``size`` GiB. A volume that is already that large or larger is left alone."""

    async def revert(self, volume: VolumeId, pool: str, snapshot: SnapshotId, progress: Progress) -> None:
        """Give the volume back the bytes that a snapshot of it, of the same pool and size, has kept.

        The snapshot stays. Nobody uses the volume meanwhile. When this has raised, the volume has the bytes it
        had before, or the snapshot's.
        """

    async def is_deep(self, volume: VolumeId, pool: str) -> bool:
        """Whether it is a copy of so many copies that it is to be flattened. Raises ``NotFound``."""

    async def flatten(self, volume: VolumeId, pool: str, seconds: float) -> float:
        """Let the volume hold more of its bytes by itself, for about so many seconds; 1.0 when it holds all.

        What was done stays done, and the next call goes on from there. Its bytes stay what they are, and who
        reads, writes, copies or extends it meanwhile may do so; who deletes it may have to ask again
        (``Retryable``). Where it costs nothing to share bytes it is 1.0 at once. Raises ``NotFound``.
        """

    async def create_snapshot(
        self, snapshot: SnapshotId, volume: VolumeId, pool: str, progress: Progress
    ) -> None:
        """Keep the bytes ``volume`` has now, in the same pool, independent of the volume's later life."""

    async def delete_snapshot(self, snapshot: SnapshotId, pool: str) -> None:
        """Free the snapshot's bytes for good."""

    async def device(self, volume: VolumeId, pool: str) -> Device:
        """What its target is told of: a file or block device of this host, or what needs none.

        Raises ``NotFound``.
        """

    def opened(self, volume: VolumeId, pool: str) -> AbstractAsyncContextManager[Path]:
        """A local file or block device with the volume's bytes, to be read and written until it is closed.

        Who writes has what he wrote on disk before (``fsync``). Raises ``NotFound``.
        """

    async def manageable(self, pool: str) -> list[Manageable]:
        """What lies in the pool, is nobody's, and may be adopted."""

    async def adopt(self, piece: StoredObject, name: str) -> int:
        """Make what is manageable under ``name`` the whole piece, grown to whole GiB. Returns the size in GiB.

        A piece that is there was adopted before. Raises ``NotFound`` when there is nothing of that name.
        """

    async def put_aside(self, piece: StoredObject, name: str) -> None:
        """Make the piece manageable under ``name``, whatever uses it meanwhile. No such piece is fine.

        What is left of a call that was cut short becomes manageable under names that begin so. Raises
        ``Conflict`` when something else has that name.
        """

    async def put_back(self, piece: StoredObject, name: str) -> None:
        """Make what is manageable under ``name`` the whole piece again. A piece that is there stays what it is.

        Raises ``NotFound`` when there is nothing of that name.
        """

    async def give_up(self, pool: str, name: str) -> None:
        """Free what is manageable under ``name`` for good. Nothing of that name is fine."""

    async def inventory(self) -> Inventory:
        """The volumes and snapshots that the backend holds, for audits."""

    async def discard(self, piece: StoredObject) -> None:
        """Free this piece of the inventory for good, and nothing else: not what is whole beside a leftover."""

"""The drivers of this process, which do the work outside, by the place they serve."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from pumice.backends.backups.contract import BackupStore
from pumice.backends.contract import Backend, Progress
from pumice.backends.targets.contract import Target
from pumice.host import qemu_img
from pumice.host.bulkhead import Bulkheads
from pumice.host.outbound import Outbound
from pumice.host.qemu_img import IscsiDisk
from pumice.hypervisor.contract import Hypervisor
from pumice.model.errors import Misconfigured, Retryable
from pumice.model.ids import ImageId, VolumeId
from pumice.model.volume import host_of
from pumice.store.database import Database

Fetch = Callable[[IscsiDisk, Path, Progress, float], Awaitable[None]]


async def _fetch(disk: IscsiDisk, target: Path, progress: Progress, timeout: float) -> None:
    await qemu_img.fetch(disk, target, progress=progress, timeout=timeout)


FillFile = Callable[[Path], Awaitable[None]]


def _no_image(_: str) -> AbstractAsyncContextManager[Path]:
    raise Misconfigured("This process cannot read images.")


async def _no_images(*_: object) -> None:
    raise Misconfigured("This process cannot make images.")


@dataclass(frozen=True, slots=True)
class Drivers:
    """The drivers a step may use. A step finds here what its place promises, and nothing else."""

    db: Database
    open_image: Callable[[str], AbstractAsyncContextManager[Path]] = _no_image
    """A file of this host with an image's bytes, for as long as it is read."""
    backends: Mapping[str, Backend] = field(default_factory=dict)
    """The backends, by ``host@backend``."""
    targets: Mapping[str, Target] = field(default_factory=dict)
    """The target drivers, by ``host@backend``: each backend exports through one."""
    hypervisors: Mapping[str, Hypervisor] = field(default_factory=dict)
    """The hypervisors, by host name."""
    fetch: Fetch = _fetch
    """Write to a device of this host, which reads as zeroes, what another host exports; in so many seconds."""
    backups: BackupStore | None = None
    """The store of this host's backups, if it makes any."""
    keep_image: Callable[[str, FillFile], Awaitable[None]] = _no_images
    """Make a queued image active with the bytes that a function writes to a path."""
    drop_image: Callable[[str], Awaitable[None]] = _no_images
    """Drop an image: neither image nor bytes are left."""
    kept_images: Callable[[], Awaitable[frozenset[ImageId]]] | None = None
    """The images whose bytes are kept, where this process keeps any."""
    post: Callable[[str, Mapping[str, str], bytes], Awaitable[int]] = Outbound().post
    """Post to a tenant's URL: with these headers, this body; the status of the answer."""
    bulkheads: Bulkheads = field(default_factory=Bulkheads)
    """The places of this process, and what hangs there."""
    let_in: dict[str, set[VolumeId]] = field(default_factory=dict)
    """By ``host@backend``, the volumes that somebody was let in to since its exports were compared."""
    detach_seconds: float = 60.0
    """How long a guest may take to let go of a disk."""
    pause_seconds: float = 5.0
    """How long a guest may be made to stand still."""
    keep_unknown_days: float = 14.0
    """Days after which bytes that were put aside are given up; 0 is never."""
    abandoned_seconds: float = 3600.0
    """How long a client may leave a volume reserved, attaching or detaching."""

    def backend_of(self, pool: str) -> Backend:
        """The backend of ``host@backend#pool``."""
        return self.backends[host_of(pool)]

    def target_of(self, pool: str) -> Target:
        """The target driver through which the backend of ``host@backend#pool`` exports."""
        return self.targets[host_of(pool)]

    def store_of_backups(self) -> BackupStore:
        """The store of this host's backups. Raises ``Retryable`` where that is nowhere."""
        if self.backups is None:
            raise Retryable("No backups are kept on this host: see [backup] in the settings.")
        return self.backups

"""Settings of the driver ``files``, and what its directories are like."""

import errno
import fcntl
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pumice.backends import sparse
from pumice.backends.contract import Backend
from pumice.backends.settings import PoolSettings
from pumice.backends.targets.registry import TARGETS
from pumice.host.parts import existing, may_write, ok
from pumice.host.paths import GivenPath
from pumice.model.finding import Finding, Probe, Verdict
from pumice.model.place_name import PlaceName
from pumice.model.units import GIB

LITTLE_SPACE = 5 * GIB


class FilesSettings(PoolSettings):
    """Sparse files in directories, one directory for each pool."""

    driver: Literal["files"] = Field("files", description="Where the bytes live.")
    pools: dict[PlaceName, GivenPath] = Field(
        default_factory=dict, description="files: directories by pool name; default one in the state directory."
    )
    capacity_gb: float | None = Field(None, description="Promise no more than this, whatever the disk holds.")

    @model_validator(mode="after")
    def pools_are_mounted(self) -> Self:
        """What every host is to open, every host must have."""
        if self.target == "shared" and not self.pools:
            raise ValueError("target = 'shared' needs 'pools': directories that every host has mounted")
        return self

    @property
    def pools_that_hang_alone(self) -> int:
        """The number of pools, each of which may be on a disk of its own."""
        return len(self.pools) or 1

    def home(self, name: str, state_dir: Path) -> Path | None:
        """See ``BackendSettings``."""
        return None if self.pools else state_dir / "volumes" / name

    def open(self, name: str, state_dir: Path) -> Backend:
        """See ``BackendSettings``."""
        from pumice.backends.files import FilesBackend

        return FilesBackend(
            self.directories(name, state_dir),
            max_over_subscription_ratio=self.max_over_subscription_ratio,
            reserved_percentage=self.reserved_percentage,
            capacity_gb=self.capacity_gb,
        )

    def probes(self, name: str, state_dir: Path) -> Iterator[Probe]:
        """Space and reflink of each pool; its locks, where hypervisors open what is there."""
        looks = (_space, _reflink) if TARGETS.find(self.target).over_network else (_space, _reflink, _locks)
        for pool, path in self.directories(name, state_dir).items():
            for look in looks:
                yield Probe(f"pool {name}#{pool}", partial(look, f"{name}#{pool}", path), may_hang=str(path))

    def directories(self, name: str, state_dir: Path) -> Mapping[str, Path]:
        """See ``BackendSettings``."""
        return self.pools or {"pool": state_dir / "volumes" / name}


def _space(pool: str, directory: Path) -> Finding:
    """Free space where a pool's volumes are kept."""
    part = f"pool {pool}"
    if not may_write(directory):
        cure = f"choose another directory, or: install -d {directory}"
        return Finding(part, Verdict.MISSING, f"{directory} cannot be written", "other pools", cure)
    free = shutil.disk_usage(existing(directory)).free
    found = f"{directory}, {free / GIB:.0f} GiB free"
    if free < LITTLE_SPACE:
        return Finding(part, Verdict.DEGRADED, found, "what fits", "free some space")
    return ok(part, found)


def _reflink(pool: str, directory: Path) -> Finding:
    """Whether the pool's file system shares blocks between files, so that clones take no time."""
    part = f"reflink in {pool}"
    place = existing(directory)
    if not may_write(place):
        return Finding(part, Verdict.MISSING, f"{place} cannot be written")
    with tempfile.TemporaryDirectory(prefix=".pumice-doctor-", dir=place) as folder:
        source, clone = Path(folder) / "source", Path(folder) / "clone"
        source.write_bytes(b"\1" * 65536)
        clone.touch()
        if sparse.share(source, clone):
            return ok(part, "clones and snapshots take milliseconds")
    return Finding(
        part,
        Verdict.DEGRADED,
        "the file system cannot share blocks",
        "everything; clones and snapshots are copied",
        f"mount XFS or Btrfs at {directory}",
    )


def _locks(pool: str, directory: Path) -> Finding:
    """Whether the pool's file system has the locks by which QEMU keeps a second writer out, on every host."""
    part, place = f"locks in {pool}", existing(directory)
    if not may_write(place):
        return Finding(part, Verdict.MISSING, f"{place} cannot be written")
    with tempfile.TemporaryFile(prefix=".pumice-doctor-", dir=place) as file:
        try:
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):
                raise
            return _unlocked(part, "the file system has no locks")
    if holds_locks_to_itself(place, Path("/proc/self/mounts").read_text()):
        return _unlocked(part, "it is mounted so that locks hold on this host alone")
    return ok(part, "a second writer is kept out")


def _unlocked(part: str, found: str) -> Finding:
    without = "one server for each volume, as attachments allow no second; nothing else stands against it"
    return Finding(part, Verdict.DEGRADED, found, without, "mount it without 'nolock' and 'local_lock'")


def holds_locks_to_itself(place: Path, mounts: str) -> bool:
    """Whether a host tells nobody of its locks there: an NFS that is mounted so, as ``/proc/mounts`` has it."""
    lines = [line.split() for line in mounts.splitlines()]
    above = [
        (len(at), kind, options.split(",")) for _, at, kind, options, *_ in lines if place.is_relative_to(at)
    ]
    _, kind, options = max(above, default=(0, "", []))
    return kind.startswith("nfs") and not {"nolock", "local_lock=all", "local_lock=posix"}.isdisjoint(options)

"""Volumes, snapshots and attachments as the rooms hand them to one another."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pumice.model.connector import Connector
from pumice.model.export import Export
from pumice.model.ids import AttachmentId, ServerId, SnapshotId, TypeId, VolumeId
from pumice.model.states import AttachStatus, SnapshotStatus, VolumeStatus


class MigrationStatus(StrEnum):
    """Cinder's words for how far the moving of a volume to another pool is."""

    STARTING = "starting"
    MIGRATING = "migrating"
    COMPLETING = "completing"
    SUCCESS = "success"
    ERROR = "error"


MOVING = frozenset({MigrationStatus.STARTING, MigrationStatus.MIGRATING, MigrationStatus.COMPLETING})
"""While it is in one of these an operation is at work on it."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as it was when it was read. ``size`` in GiB; times in UTC."""

    id: VolumeId
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size: int
    status: VolumeStatus
    type_id: TypeId | None
    availability_zone: str
    pool: str | None
    """``host@backend#pool``; None until the scheduler has chosen."""
    snapshot_id: SnapshotId | None
    source_volid: VolumeId | None
    bootable: bool
    multiattach: bool
    read_only: bool
    metadata: dict[str, str]
    image_metadata: dict[str, Any] | None
    encryption_key_id: str | None
    """The key that opens its bytes; None when they are not encrypted."""
    operation_id: str | None
    created_at: datetime
    updated_at: datetime | None
    read_only_told: bool | None = None
    """Somebody has said whether it is read-only: from then on its metadata does."""
    moved_at: datetime | None = None
    """When it came to its state; None while it is in its first."""
    group_id: str | None = None
    migration_status: str | None = None
    """How far the last move to another pool is, or how it ended; None where there was none."""
    recycled_at: datetime | None = None
    """Since when it is in the recycle bin: no route of the OpenStack APIs finds it then."""
    recycled_counts: bool | None = None
    """Whether it counts for quota while it is there."""

    @property
    def is_moving(self) -> bool:
        """Whether it is being moved to another pool."""
        return self.migration_status in MOVING


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as it was when it was read. ``size`` is its volume's at the time, in GiB."""

    id: SnapshotId
    volume_id: VolumeId
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size: int
    status: SnapshotStatus
    pool: str
    type_id: TypeId | None
    metadata: dict[str, str]
    bootable: bool | None
    """Whether its volume could be booted at that time; image metadata and key are of that time too."""
    image_metadata: dict[str, Any] | None
    encryption_key_id: str | None
    operation_id: str | None
    created_at: datetime
    updated_at: datetime | None
    group_snapshot_id: str | None = None
    """The group snapshot that it is a part of."""
    progress: str | None = None
    """How far it is, as in ``80%``, if a host has said so (``os-update_snapshot_status``)."""
    recycled_at: datetime | None = None
    """Since when it is in the recycle bin: no route of the OpenStack APIs finds it then."""
    recycled_counts: bool | None = None
    """Whether it counts for quota while it is there."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """The link between a volume and a server, or another host, as it was when it was read."""

    id: AttachmentId
    volume_id: VolumeId
    project_id: str
    server_id: ServerId | None
    host: str | None
    device: str | None
    """``/dev/vdb``"""
    status: AttachStatus
    mode: str
    connector: Connector | None
    portal: Export | None
    """How the volume is reached, once it is exported."""
    chap_username: str | None
    chap_password: str | None
    operation_id: str | None
    attached_at: datetime | None
    created_at: datetime
    updated_at: datetime | None
    older: bool | None = None
    """Made by the older actions, which no Compute service uses for its servers any more."""
    next_chap_password: str | None = None
    """Drawn, and not yet in force."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """The offer of a volume to whoever knows the key."""

    id: str
    volume_id: VolumeId
    project_id: str
    """Whose volume it is."""
    name: str | None
    digest: str
    """SHA-256 of the key."""
    no_snapshots: bool
    """The volume's snapshots remain where they are."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class VolumeType:
    """A volume type. ``extra_specs`` are what a pool must be capable of."""

    id: TypeId
    name: str
    description: str | None
    is_public: bool
    extra_specs: dict[str, str]
    qos_specs_id: str | None
    encryption: dict[str, Any] | None
    """``encryption_id``, ``provider``, ``control_location``, ``cipher``, ``key_size`` (bits)."""
    created_at: datetime
    updated_at: datetime | None


CEPH_FSID = "ceph_fsid"
"""The capability of pools of Ceph: the id of their cluster, whose images they clone."""
IMAGE_CACHE = "image_cache"
"""The capability of a pool that says how it clones, if that is of use for the image cache…"""
SHARES, COPIES = "shares", "copies"
"""…a clone shares its origin's bytes, or it is a copy of those that are there."""
LOCAL_TO_HOST = "local_to_host"
"""The capability of a pool whose volumes its own host's servers alone reach."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A place that can hold volumes: what it said of itself and what is claimed in it. Capacities in GiB."""

    name: str
    """``host@backend#pool``"""
    host: str
    """``host@backend``"""
    availability_zone: str
    total_gb: float
    free_gb: float
    claimed_gb: int
    """The sum of the sizes of its volumes."""
    volumes: int
    thin: bool
    max_over_subscription_ratio: float
    reserved_percentage: int
    capabilities: dict[str, Any]
    updated_at: datetime

    @property
    def reached_from(self) -> str | None:
        """The host whose servers alone reach its volumes; None where any host's do."""
        return self.host.partition("@")[0] if self.capabilities.get(LOCAL_TO_HOST) else None


def host_of(pool: str) -> str:
    """``host@backend`` of ``host@backend#pool``."""
    return pool.partition("#")[0]


def pool_of(pool: str) -> str:
    """The backend's own name for the pool: what follows the ``#``."""
    return pool.partition("#")[2]

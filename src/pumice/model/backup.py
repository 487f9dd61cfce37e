"""Backups as the rooms hand them to one another."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pumice.model.ids import BackupId, SnapshotId, VolumeId
from pumice.model.states import BackupStatus

IMPORTED_VOLUME = VolumeId("00000000-0000-0000-0000-000000000000")
"""The volume of an imported backup until its record has been read."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup as it was when it was read. ``size`` is its volume's at the time, in GiB; times in UTC."""

    id: BackupId
    project_id: str
    user_id: str
    volume_id: VolumeId
    snapshot_id: SnapshotId | None
    """The snapshot that it is a backup of, if it is not of the volume itself."""
    parent_id: BackupId | None
    """The backup that an incremental one adds to."""
    name: str | None
    description: str | None
    size: int
    status: BackupStatus
    fail_reason: str | None
    availability_zone: str | None
    """The zone that was asked for."""
    container: str | None
    """The container of its objects, as the store calls it; None until they are begun."""
    prefix: str | None
    """What the names of its objects begin with."""
    object_count: int
    data_timestamp: datetime
    """The moment whose bytes it has."""
    metadata: dict[str, str]
    source: dict[str, Any]
    """What its volume was: ``name``, ``description``, ``metadata``, ``image_metadata``, ``bootable``,
    ``type_id``."""
    encryption_key_id: str | None
    """The key that opens its bytes; None when they are not encrypted."""
    pool: str | None
    """``host@backend#pool`` of the volume: where its objects are written."""
    operation_id: str | None
    created_at: datetime
    updated_at: datetime | None

    @property
    def is_incremental(self) -> bool:
        """Whether its parent is needed to restore it."""
        return self.parent_id is not None

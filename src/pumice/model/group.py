"""Groups of volumes, and their types, as the rooms hand them to one another."""

from dataclasses import dataclass
from datetime import datetime

from pumice.model.states import GroupSnapshotStatus, GroupStatus

CONSISTENT = "consistent_group_snapshot_enabled"
"""The group spec by which a type promises that a group's snapshots are of one moment."""
OLDER_TYPE = "default_cgsnapshot_type"
"""The type of the groups that the older API calls consistency groups."""


@dataclass(frozen=True, slots=True)
class GroupType:
    """A type of groups. ``group_specs`` are what it promises."""

    id: str
    name: str
    description: str | None
    is_public: bool
    group_specs: dict[str, str | None]
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """A group of volumes as it was when it was read. Times in UTC."""

    id: str
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    status: GroupStatus
    group_type_id: str
    volume_types: list[str]
    """The ids of the types that its volumes may have."""
    availability_zone: str
    host: str | None
    """``host@backend``, where all its volumes are; None until the scheduler has chosen."""
    group_snapshot_id: str | None
    """The group snapshot that it was made from."""
    source_group_id: str | None
    """The group that it was made from."""
    operation_id: str | None
    created_at: datetime
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """A snapshot of every volume in a group, as it was when it was read. Times in UTC."""

    id: str
    project_id: str
    user_id: str
    group_id: str
    group_type_id: str
    name: str | None
    description: str | None
    status: GroupSnapshotStatus
    operation_id: str | None
    created_at: datetime
    updated_at: datetime | None

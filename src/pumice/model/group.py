"""Groups of volumes, and their types, as the rooms hand them to one another."""

from dataclasses import dataclass
from datetime import datetime

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

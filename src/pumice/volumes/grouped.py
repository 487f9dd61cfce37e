"""What may not be done to what is in a group: it is made, kept and deleted with the group."""

from pumice.model.errors import InvalidState
from pumice.model.volume import Snapshot, Volume


def refuse_in_group(volume: Volume, must: str) -> None:
    """Raises ``InvalidState`` for a volume in a group. ``must`` completes "Volume status must …"."""
    if volume.group_id:
        raise InvalidState(f"Invalid volume: Volume status must {must}, but it is in group {volume.group_id}.")


def refuse_in_group_snapshot(snapshot: Snapshot) -> None:
    """Raises ``InvalidState`` for a snapshot that is a part of a group snapshot."""
    if snapshot.group_snapshot_id:
        raise InvalidState(
            "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
        )

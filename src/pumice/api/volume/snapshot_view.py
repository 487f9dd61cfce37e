"""A snapshot on the wire, at every microversion (api-ref, "Volume snapshots")."""

from typing import Any

from pumice.api.call import Call
from pumice.api.volume.rules import SEES_PROGRESS
from pumice.api.volume.volume_view import wire_time
from pumice.model.states import SnapshotStatus
from pumice.model.volume import Snapshot


def plain(_: Call, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot in the plain list."""
    return {
        "id": snapshot.id,
        "name": snapshot.name,
        "description": snapshot.description,
        "volume_id": snapshot.volume_id,
        "status": snapshot.status,
        "size": snapshot.size,
        "metadata": snapshot.metadata,
        "created_at": wire_time(snapshot.created_at),
        "updated_at": wire_time(snapshot.updated_at),
    }


def changed(call: Call, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as create and update answer: without what Cinder's extensions add."""
    view = plain(call, snapshot)
    if call.version >= (3, 14):
        view["group_snapshot_id"] = snapshot.group_snapshot_id
    if call.version >= (3, 41):
        view["user_id"] = snapshot.user_id
    if call.version >= (3, 65):
        view["consumes_quota"] = True
    return view


def full(call: Call, snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot in full, as show and the detailed list have it."""
    shown = changed(call, snapshot)
    if call.policy.allows(SEES_PROGRESS, call.who):
        begun = snapshot.status in (SnapshotStatus.CREATING, SnapshotStatus.ERROR)
        progress = snapshot.progress or ("0%" if begun else "100%")
        shown["os-extended-snapshot-attributes:progress"] = progress
        shown["os-extended-snapshot-attributes:project_id"] = snapshot.project_id
    return shown

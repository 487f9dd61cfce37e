"""Have a volume or a snapshot back from the recycle bin, as it was: id, name, metadata, bytes.

That is one transaction. The snapshots that went with a volume come back with it; one that went before it stays
until it is asked for, and a snapshot without its volume cannot be had.
"""

from collections.abc import Mapping

from pumice.model.errors import Conflict
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot, Volume
from pumice.operations.at_once import AtOnce, record
from pumice.store import quotas, recycle_bin, snapshots, volumes
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes.recycle_bin.keep import amounts, went_together

S, V = SnapshotStatus, VolumeStatus
MUST = "be in the recycle bin, and not be deleted for good already"


@serialized(quotas.turn)
def accept(tx: Transaction, who: Scope, entry_id: str, tunables: Tunables) -> None:
    """Answer the request. Raises ``NotFound``, ``Conflict`` or ``OverQuota``."""
    entry = recycle_bin.get(tx, who, entry_id)
    if not entry.is_kept:
        raise Conflict(f"The {entry.kind} {entry.id} cannot be restored: its state is {entry.status}.")
    limits = quotas.limits(tx, entry.project_id, tunables.quotas)
    volume = volumes.find(tx, entry.volume_id)
    assert volume is not None
    if entry.kind == "volume":
        _restore_volume(tx, who, volume, limits)
        return
    if volume.recycled_at is not None:
        own = volume.project_id == entry.project_id
        raise Conflict(
            f"Volume {volume.id} of this snapshot is in the recycle bin: restore that first."
            if own
            else "The volume of this snapshot has been deleted."
        )
    snapshot = snapshots.find(tx, entry.id)
    assert snapshot is not None
    _restore_snapshot(tx, who, snapshot, limits)


def _restore_volume(tx: Transaction, who: Scope, volume: Volume, limits: Mapping[str, int]) -> None:
    quotas.refuse_larger(limits, volume.size)
    _take(tx, "volumes", volume, limits)
    volumes.move(tx, volume.id, {V.RECYCLED}, V.AVAILABLE, must=MUST, **recycle_bin.OUT)
    record(tx, AtOnce.VOLUME_RESTORE, volume, who)
    for snapshot in snapshots.of_volume(tx, volume.id, in_bin=True):
        if went_together(snapshot, volume.recycled_at) and snapshot.status is not S.DELETING:
            _restore_snapshot(tx, who, snapshot, limits)


def _restore_snapshot(tx: Transaction, who: Scope, snapshot: Snapshot, limits: Mapping[str, int]) -> None:
    _take(tx, "snapshots", snapshot, limits)
    if snapshot.status is S.RECYCLED:
        snapshots.move(tx, snapshot.id, {S.RECYCLED}, S.AVAILABLE, must=MUST, **recycle_bin.OUT)
    else:
        snapshots.change(tx, snapshot.id, **recycle_bin.OUT)
    record(tx, AtOnce.SNAPSHOT_RESTORE, snapshot, who)


def _take(tx: Transaction, things: str, thing: Volume | Snapshot, limits: Mapping[str, int]) -> None:
    if not thing.recycled_counts:
        quotas.take(tx, thing.project_id, limits, amounts(tx, things, thing))

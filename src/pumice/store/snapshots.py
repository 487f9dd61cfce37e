"""Snapshots: every read and write of their rows. States change as volumes' do."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import InvalidState
from pumice.model.states import SNAPSHOT, SnapshotStatus
from pumice.model.volume import Snapshot, Volume
from pumice.store import recycle_bin, tombstones
from pumice.store.database import Transaction
from pumice.store.rows import Rows
from pumice.store.stateful import StatefulRows
from pumice.store.tables import snapshots, volumes

_s = snapshots.c
_rows = StatefulRows(snapshots, Snapshot, "Snapshot", SNAPSHOT)
_volumes = Rows(volumes, Volume)

get = _rows.visible
page = _rows.page
count = _rows.count
change = _rows.change
put = _rows.put
overrule = _rows.overrule
by_project = _rows.by_project

COLUMNS = frozenset(column.name for column in snapshots.c) - {
    *("metadata", "operation_id", "bootable", "image_metadata", "encryption_key_id", "progress"),
    *recycle_bin.COLUMNS,
}
"""What lists may be sorted and filtered by."""

_insert = sa.insert(snapshots)
_of_volume = _rows.below(volumes, _s.volume_id).where(_s.volume_id == sa.bindparam("b_volume"))
_seen = _of_volume.where(_s.recycled_at.is_(None))
_newest = (
    sa.select(_s.id)
    .where(_s.volume_id == sa.bindparam("b_volume"), _s.recycled_at.is_(None))
    .order_by(_s.created_at.desc())
    .limit(1)
)
_bury = tombstones.burial(
    tombstones.grave(tombstones.Kind.SNAPSHOT, _s.id, _s.pool, _s.id == sa.bindparam("b_id"))
)


def insert(tx: Transaction, snapshot: Snapshot) -> None:
    """Add a snapshot."""
    tx.send(_insert, _rows.row(snapshot))


def find(tx: Transaction, snapshot_id: str) -> Snapshot | None:
    """A snapshot for Pumice's own work, if it still exists."""
    return _rows.get(tx, snapshot_id)


def of_its_moment(tx: Transaction, snapshot: Snapshot) -> Snapshot | Volume:
    """What tells whether a snapshot's bytes can be booted, what image they are from and which key opens them.

    The snapshot itself; for one of an earlier version, which did not write that down, its volume as it is now.
    """
    if snapshot.bootable is not None:
        return snapshot
    return _volumes.get(tx, snapshot.volume_id) or snapshot


def of_volume(tx: Transaction, volume_id: str, *, in_bin: bool = False) -> Sequence[Snapshot]:
    """The volume's snapshots, the oldest first; not those that its project does not own.

    Those in the recycle bin too, if ``in_bin``: they go with the volume.
    """
    found = _of_volume if in_bin else _seen
    return _rows.all(tx.execute(found.order_by(_s.created_at), {"b_volume": volume_id}))


def latest(tx: Transaction, volume_id: str) -> Snapshot | None:
    """The volume's latest snapshot. None when there is none, or when another project owns it."""
    return _rows.first(tx.execute(_seen.where(_s.id == _newest.scalar_subquery()), {"b_volume": volume_id}))


def move(
    tx: Transaction,
    snapshot_id: str,
    start: Collection[SnapshotStatus],
    end: SnapshotStatus,
    *,
    must: str,
    **changes: Any,
) -> None:
    """Move a snapshot from one of the states ``start`` to ``end``. See ``volumes.move``."""

    def refusal(snapshot: Snapshot) -> InvalidState:
        return InvalidState(f"Invalid snapshot: Snapshot status must {must}, but it is {snapshot.status}.")

    _rows.move(tx, snapshot_id, start, end, refusal, **changes)


def reset(tx: Transaction, snapshot_id: str, status: SnapshotStatus, operation_id: str) -> None:
    """Give a snapshot that ``operation_id`` holds another state, if it holds it still."""
    _rows.settle(tx, snapshot_id, operation_id, status=status)


def delete(tx: Transaction, snapshot_id: str, *, bytes_stay: bool = False) -> bool:
    """Forget a snapshot, and bury it unless its bytes stay somebody's. False when it is gone already."""
    if not bytes_stay:
        tombstones.bury(tx, _bury, b_id=snapshot_id)
    return bool(tx.execute(sa.delete(snapshots).where(_s.id == snapshot_id)).rowcount)

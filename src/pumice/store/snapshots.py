"""Snapshots: every read and write of their rows. States change as volumes' do."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import InvalidState, NotFound
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus
from pumice.model.volume import Snapshot, Volume
from pumice.store import tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import Rows
from pumice.store.tables import snapshots, volumes
from pumice.store.tenant_rows import TenantRows

_s = snapshots.c
_rows = TenantRows(snapshots, Snapshot, "Snapshot")
_volumes = Rows(volumes, Volume)

get = _rows.visible
page = _rows.page

COLUMNS = frozenset(column.name for column in snapshots.c) - {
    *("metadata", "operation_id", "bootable", "image_metadata", "encryption_key_id")
}
"""What lists may be sorted and filtered by."""

_insert = sa.insert(snapshots)
_of_volume = _rows.below(volumes, _s.volume_id).where(_s.volume_id == sa.bindparam("b_volume"))
_newest = (
    sa.select(_s.id).where(_s.volume_id == sa.bindparam("b_volume")).order_by(_s.created_at.desc()).limit(1)
)
_bury = tombstones.burial(tombstones.Kind.SNAPSHOT, _s.id, _s.pool, _s.id == sa.bindparam("b_id"))


def insert(tx: Transaction, snapshot: Snapshot) -> None:
    """Add a snapshot."""
    tx.execute(_insert, _rows.row(snapshot))


def find(tx: Transaction, snapshot_id: str) -> Snapshot | None:
    """A snapshot for the house's own work, if it still exists."""
    return _rows.get(tx, snapshot_id)


def of_its_moment(tx: Transaction, snapshot: Snapshot) -> Snapshot | Volume:
    """What tells whether a snapshot's bytes can be booted, what image they are from and which key opens them.

    The snapshot itself; for one of an earlier version, which did not write that down, its volume as it is now.
    """
    if snapshot.bootable is not None:
        return snapshot
    return _volumes.get(tx, snapshot.volume_id) or snapshot


def of_volume(tx: Transaction, volume_id: str) -> Sequence[Snapshot]:
    """The volume's snapshots, the oldest first; not those that its project does not own."""
    return _rows.all(tx.execute(_of_volume.order_by(_s.created_at), {"b_volume": volume_id}))


def latest(tx: Transaction, volume_id: str) -> Snapshot | None:
    """The volume's latest snapshot. None when there is none, or when another project owns it."""
    return _rows.first(
        tx.execute(_of_volume.where(_s.id == _newest.scalar_subquery()), {"b_volume": volume_id})
    )


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
    changed = sa.update(snapshots).where(_s.id == snapshot_id, _s.status.in_(sorted(start)))
    if tx.execute(changed.values(status=end, updated_at=now(), **changes)).rowcount == 1:
        return
    snapshot = _rows.get(tx, snapshot_id)
    if snapshot is None:
        raise NotFound("Snapshot", snapshot_id)
    raise InvalidState(f"Invalid snapshot: Snapshot status must {must}, but it is {snapshot.status}.")


def change(tx: Transaction, snapshot_id: str, **changes: Any) -> None:
    """Write columns other than the status."""
    assert "status" not in changes
    tx.execute(sa.update(snapshots).where(_s.id == snapshot_id).values(updated_at=now(), **changes))


def reset(tx: Transaction, snapshot_id: str, status: SnapshotStatus, operation_id: str) -> None:
    """Give a snapshot that ``operation_id`` holds another state, if it holds it still."""
    tx.execute(
        sa.update(snapshots)
        .where(_s.id == snapshot_id, _s.operation_id == operation_id)
        .values(status=status, operation_id=None, updated_at=now())
    )


def put(tx: Transaction, snapshot_id: str, status: SnapshotStatus) -> bool:
    """Give a snapshot a state because an administrator says so. False while an operation holds it."""
    held = _s.operation_id.is_not(None)
    changed = sa.update(snapshots).where(_s.id == snapshot_id, ~held)
    return bool(tx.execute(changed.values(status=status, updated_at=now())).rowcount)


def delete(tx: Transaction, snapshot_id: str) -> bool:
    """Forget a snapshot, and bury it. False when it is gone already."""
    tombstones.bury(tx, _bury, b_id=snapshot_id)
    return bool(tx.execute(sa.delete(snapshots).where(_s.id == snapshot_id)).rowcount)


def total(
    tx: Transaction,
    who: Scope,
    *,
    all_projects: bool = False,
    filters: Iterable[sa.ColumnElement[bool]] = (),
) -> int:
    """How many snapshots a list has on all its pages."""
    query = sa.select(sa.func.count()).select_from(snapshots).where(*_rows.seen(who, all_projects), *filters)
    return int(tx.execute(query).scalar_one())


def by_project(tx: Transaction, host: str) -> dict[str, tuple[int, int]]:
    """Number and GiB of each project's snapshots on ``host@backend``."""
    query = sa.select(_s.project_id, sa.func.count().label("number"), sa.func.sum(_s.size).label("size"))
    here = _s.pool.startswith(f"{host}#", autoescape=True)
    rows = tx.execute(query.where(here).group_by(_s.project_id))
    return {row.project_id: (row.number, row.size) for row in rows}

"""Snapshots of groups: every read and write of their rows. States change as volumes' do."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import InvalidState
from pumice.model.group import GroupSnapshot
from pumice.model.states import GROUP_SNAPSHOT, GroupSnapshotStatus
from pumice.model.volume import Snapshot
from pumice.store.database import Transaction
from pumice.store.group_types import OLDER
from pumice.store.rows import Rows
from pumice.store.stateful import StatefulRows
from pumice.store.tables import group_snapshots, snapshots

_g = group_snapshots.c
_rows = StatefulRows(group_snapshots, GroupSnapshot, "GroupSnapshot", GROUP_SNAPSHOT)
_snapshots = Rows(snapshots, Snapshot)

get = _rows.visible
page = _rows.page
change = _rows.change
put = _rows.put
overrule = _rows.overrule

COLUMNS = frozenset(column.name for column in group_snapshots.c) - {"operation_id"}
"""What lists may be sorted and filtered by."""

IS_NEWER = _g.group_type_id.not_in(OLDER)
"""The condition that one is not of a consistency group."""

_members = _snapshots.select.where(snapshots.c.group_snapshot_id == sa.bindparam("b_group")).order_by(
    snapshots.c.created_at, snapshots.c.id
)


def insert(tx: Transaction, group_snapshot: GroupSnapshot) -> None:
    """Add a group snapshot."""
    tx.execute(sa.insert(group_snapshots), _rows.row(group_snapshot))


def find(tx: Transaction, group_snapshot_id: str) -> GroupSnapshot | None:
    """A group snapshot for Pumice's own work, if it still exists."""
    return _rows.get(tx, group_snapshot_id)


def members(tx: Transaction, group_snapshot_id: str) -> Sequence[Snapshot]:
    """The snapshots that it is made of, the oldest first."""
    return _snapshots.all(tx.execute(_members, {"b_group": group_snapshot_id}))


def are_of(tx: Transaction, group_id: str) -> bool:
    """Whether there is a snapshot of this group."""
    return tx.execute(sa.select(_g.id).where(_g.group_id == group_id).limit(1)).first() is not None


def move(
    tx: Transaction,
    group_snapshot_id: str,
    start: Collection[GroupSnapshotStatus],
    end: GroupSnapshotStatus,
    *,
    must: str,
    **changes: Any,
) -> None:
    """Move a group snapshot from one of the states ``start`` to ``end``. See ``volumes.move``."""

    def refusal(_: GroupSnapshot) -> InvalidState:
        return InvalidState(f"Invalid GroupSnapshot: GroupSnapshot status must {must}.")

    _rows.move(tx, group_snapshot_id, start, end, refusal, **changes)


def settle(tx: Transaction, group_snapshot_id: str, status: GroupSnapshotStatus, operation_id: str) -> None:
    """Give a group snapshot that ``operation_id`` holds another state, if it holds it still."""
    _rows.settle(tx, group_snapshot_id, operation_id, status=status)


def delete(tx: Transaction, group_snapshot_id: str) -> GroupSnapshot | None:
    """Forget a group snapshot, whose members are gone; what it was."""
    gone = sa.delete(group_snapshots).where(_g.id == group_snapshot_id).returning(*_rows.columns)
    return _rows.first(tx.execute(gone))

"""Backups: every read and write of their rows. States change as volumes' do."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.backup import Backup
from pumice.model.errors import InvalidState
from pumice.model.states import BACKUP, BackupStatus
from pumice.store import tombstones
from pumice.store.changes import changed
from pumice.store.database import Transaction
from pumice.store.stateful import StatefulRows
from pumice.store.tables import backups

_b = backups.c
_rows = StatefulRows(backups, Backup, "Backup", BACKUP)

get = _rows.visible
page = _rows.page
count = _rows.count
change = _rows.change
put = _rows.put
overrule = _rows.overrule

COLUMNS = frozenset(column.name for column in backups.c) - {
    *("metadata", "source", "encryption_key_id", "operation_id", "prefix", "pool")
}
"""What lists may be sorted and filtered by."""

_child = backups.alias("child")
_has_children = sa.exists().where(_child.c.parent_id == _b.id)
_move_childless = _rows.by_status.where(~_has_children)
_of_volume = _rows.select.where(_b.volume_id == sa.bindparam("b_volume"))
_sharing = _rows.select.where(_b.prefix == sa.bindparam("b_prefix"), _b.id != sa.bindparam("b_id"))
_of_another = sa.select(_b.prefix).where(_b.prefix.not_like("%backup_" + _b.id))
_bury = tombstones.burial(tombstones.grave(tombstones.Kind.BACKUP, _b.id, None, _b.id == sa.bindparam("b_id")))


def insert(tx: Transaction, backup: Backup) -> None:
    """Add a backup."""
    tx.execute(sa.insert(backups), _rows.row(backup))


def find(tx: Transaction, backup_id: str) -> Backup | None:
    """A backup for Pumice's own work, if it still exists."""
    return _rows.get(tx, backup_id)


def of_volume(tx: Transaction, project_id: str, volume_id: str) -> Sequence[Backup]:
    """The project's backups of a volume."""
    return _rows.all(tx.execute(_of_volume.where(_b.project_id == project_id), {"b_volume": volume_id}))


def sharing(tx: Transaction, backup: Backup) -> Sequence[Backup]:
    """The other backups that have the same objects: one of them was imported under another id."""
    if backup.prefix is None:
        return []
    return _rows.all(tx.execute(_sharing, {"b_prefix": backup.prefix, "b_id": backup.id}))


def chain(tx: Transaction, backup_id: str) -> Sequence[Backup]:
    """A backup and all that it needs, the full one first. Raises ``InvalidState`` when one is missing."""
    found: list[Backup] = []
    wanted: str | None = backup_id
    while wanted is not None:
        backup = find(tx, wanted)
        if backup is None or any(it.id == wanted for it in found):
            raise InvalidState(
                f"Invalid backup: Backup {backup_id} needs backup {wanted}, which is not here: import it first."
            )
        found.insert(0, backup)
        wanted = backup.parent_id
    return found


def with_children(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """The backups that incremental ones add to."""
    query = sa.select(_b.parent_id).where(_b.parent_id.in_(list(ids))).distinct()
    return frozenset(tx.execute(query).scalars()) if ids else frozenset()


def move(
    tx: Transaction,
    backup_id: str,
    start: Collection[BackupStatus],
    end: BackupStatus,
    *,
    must: str,
    childless: bool = False,
    **changes: Any,
) -> None:
    """Move a backup from one of the states ``start`` to ``end``. See ``volumes.move``.

    With ``childless`` no incremental one may add to it.
    """

    def refusal(backup: Backup) -> InvalidState:
        if backup.status in start:
            return InvalidState("Invalid backup: Incremental backups exist for this backup.")
        return InvalidState(f"Invalid backup: Backup status must {must}, but it is {backup.status}.")

    statement = _move_childless if childless else None
    _rows.move(tx, backup_id, start, end, refusal, statement=statement, **changes)


def reset(tx: Transaction, backup_id: str, status: BackupStatus, operation_id: str, **changes: Any) -> None:
    """Give a backup that ``operation_id`` holds another state, if it holds it still."""
    _rows.settle(tx, backup_id, operation_id, status=status, **changes)


def delete(tx: Transaction, backup_id: str) -> bool:
    """Forget a backup, and bury it. False when it is gone already."""
    tombstones.bury(tx, _bury, b_id=backup_id)
    gone = tx.execute(sa.delete(backups).where(_b.id == backup_id).returning(_b.parent_id)).first()
    if gone is not None and gone.parent_id:
        tx.notify(changed(gone.parent_id))  # which may have had no other
    return gone is not None


def known(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """The ids that backups have, or that their objects are named after."""
    if not ids:
        return frozenset()
    named_after = frozenset(prefix[-36:] for prefix in tx.execute(_of_another).scalars())
    return frozenset(tx.execute(sa.select(_b.id).where(_b.id.in_(list(ids)))).scalars()) | named_after & set(
        ids
    )


def whole(tx: Transaction) -> dict[str, tuple[str, str]]:
    """The ids of the backups whose objects must all be there: their container, and the names' beginning."""
    at_rest = _b.status.in_([BackupStatus.AVAILABLE, BackupStatus.RESTORING])
    rows = tx.execute(sa.select(_b.id, _b.container, _b.prefix).where(at_rest, _b.prefix.is_not(None)))
    return {row.id: (row.container, row.prefix) for row in rows}

"""Volumes: every read and write of their rows. How states change says ``stateful.py``."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import InvalidState
from pumice.model.scope import Scope
from pumice.model.states import VOLUME, VolumeStatus
from pumice.model.volume import Volume
from pumice.store import recycle_bin, tombstones
from pumice.store.any_of import any_of
from pumice.store.database import Transaction
from pumice.store.stateful import StatefulRows
from pumice.store.tables import attachments, snapshots, volumes

_v = volumes.c
_rows = StatefulRows(volumes, Volume, "Volume", VOLUME)

COLUMNS_OF_ONE = _rows.columns
get = _rows.visible
shown = _rows.shown
page = _rows.page
change = _rows.change
put = _rows.put
count = _rows.count
total = _rows.total
by_project = _rows.by_project

COLUMNS = frozenset(column.name for column in volumes.c) - {
    "metadata",
    "image_metadata",
    "encryption_key_id",
    "operation_id",
    "read_only_told",
    "moved_at",
    "end_unseen",
    *recycle_bin.COLUMNS,
}
"""What lists may be sorted and filtered by."""

_insert = sa.insert(volumes)
_delete = sa.delete(volumes).where(_v.id == sa.bindparam("b_id"))
_bury = tombstones.burial(
    tombstones.grave(tombstones.Kind.VOLUME, _v.id, _v.pool, _v.id == sa.bindparam("b_id"))
)
_has_snapshots = sa.exists().where(snapshots.c.volume_id == _v.id)
_has_attachments = sa.exists().where(attachments.c.volume_id == _v.id)
_move = _rows.by_status
_has_strange_snapshots = _has_snapshots.where(snapshots.c.project_id != _v.project_id)
_move_free = _move.where(sa.or_(_v.status != VolumeStatus.AVAILABLE, ~_has_attachments))
_ATTACHING = frozenset({VolumeStatus.RESERVED, VolumeStatus.ATTACHING, VolumeStatus.IN_USE})
"""States to which an attachment leads: whether they are right is judged by it."""
_UNSEEN_IN = frozenset(
    {
        *(VolumeStatus.AVAILABLE, VolumeStatus.EXTENDING, VolumeStatus.RETYPING, VolumeStatus.MAINTENANCE),
        *(VolumeStatus.UPLOADING, VolumeStatus.BACKING_UP, VolumeStatus.AWAITING_TRANSFER),
        *(VolumeStatus.DELETING, VolumeStatus.RECYCLED),
    }
)
"""States in which nobody writes a volume nor sees how large it is, and in which it gets no other bytes."""
_move_unattached = _move.where(~_has_attachments, ~_has_strange_snapshots)
_move_unused = _move_unattached.where(~_has_snapshots)
_has_seen_snapshots = _has_snapshots.where(snapshots.c.recycled_at.is_(None))
_move_to_bin = _move_unattached.where(~_has_seen_snapshots)
_lock = sa.update(volumes).values(id=_v.id)
_lock_these = _lock.where(any_of(_v.id, "ids"))
_lock_attached = _lock.where(
    _v.id.in_(sa.select(attachments.c.volume_id).where(any_of(attachments.c.id, "ids")))
)
_attached = sa.select(attachments.c.id).where(attachments.c.volume_id == sa.bindparam("b_id")).limit(1)


def lock(tx: Transaction, *ids: str) -> None:
    """Lock volumes, and with them who has them.

    Who attaches or detaches begins with it, and whoever else takes a volume or an attachment does it as
    well: so the first sees all that was committed before, and the second, if the first has come between, is
    run again.
    """
    tx.lock(_lock_these, ids)


def is_locked(tx: Transaction, volume_id: str) -> None:
    """Note that a volume was locked by another thing's id, so that ``lock`` has nothing to do."""
    tx.locked.add((_lock_these, volume_id))


def lock_attached(tx: Transaction, *attachment_ids: str) -> None:
    """Lock the volumes that these attachments are of."""
    tx.lock(_lock_attached, attachment_ids)


def insert(tx: Transaction, volume: Volume) -> None:
    """Add a volume."""
    tx.send(_insert, _rows.row(volume))


def find(tx: Transaction, volume_id: str) -> Volume | None:
    """A volume for Pumice's own work, if it still exists."""
    return _rows.get(tx, volume_id)


def made_of(tx: Transaction, who: Scope, volume_id: str, most: int) -> list[Volume]:
    """What was cloned of a volume or made of its snapshots, as far as the caller sees it; the oldest first."""
    theirs = sa.select(snapshots.c.id).where(snapshots.c.volume_id == volume_id)
    ids = sa.union_all(
        sa.select(_v.id).where(_v.source_volid == volume_id), sa.select(_v.id).where(_v.snapshot_id.in_(theirs))
    )
    seen = _rows.seen(who, all_projects=True)
    query = _rows.select.where(_v.id.in_(ids), *seen).order_by(_v.created_at, _v.id).limit(most)
    return list(_rows.all(tx.execute(query)))


def move(
    tx: Transaction,
    volume_id: str,
    start: Collection[VolumeStatus],
    end: VolumeStatus,
    *,
    must: str,
    unused: bool = False,
    unattached: bool = False,
    **changes: Any,
) -> None:
    """Move a volume from one of the states ``start`` to ``end`` and write ``changes`` with it.

    ``must`` completes the sentence "Volume status must …" of the ``InvalidState`` raised when it is in none of
    them. With ``unused`` it must have no snapshots or attachments; with ``unattached`` its project's own
    snapshots do not matter; into the recycle bin those do not that are there already. What has an attachment is
    not available, whatever its status was reset to.
    """
    moves = _move if end in _ATTACHING else _move_free
    statement = _move_unused if unused else _move_unattached if unattached else moves
    if end is VolumeStatus.RECYCLED:
        statement, unused = _move_to_bin, True
    if end not in _UNSEEN_IN:
        changes["end_unseen"] = False

    def refusal(volume: Volume) -> InvalidState:
        why = f", but it is {volume.status}."
        if volume.status in start and (held := tx.execute(_attached, {"b_id": volume_id}).scalar()):
            why = f", and attachment {held} has it: detach it."
        elif volume.status in start and (unused or unattached):
            why = f", but it has {_named(tx, volume) if unused else STRANGE}."
        return InvalidState(f"Invalid volume: Volume status must {must}{why}")

    _rows.move(tx, volume_id, start, end, refusal, statement=statement, **changes)


STRANGE = "snapshots of another project"
IN_BIN = "snapshots in the recycle bin"


def _named(tx: Transaction, volume: Volume) -> str:
    """Which snapshots a volume has, a few of many; another project's are not named."""
    query = sa.select(snapshots.c.id).where(snapshots.c.volume_id == volume.id)
    own = query.where(snapshots.c.project_id == volume.project_id).order_by(snapshots.c.created_at)
    ids = list(tx.execute(own.where(snapshots.c.recycled_at.is_(None))).scalars())
    if not ids:
        return IN_BIN if tx.execute(own.limit(1)).first() else STRANGE
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"snapshot{'s' if len(ids) > 1 else ''} {', '.join(ids[:3])}{more}"


def has_snapshots(tx: Transaction, volume_id: str) -> bool:
    """Whether it has any, whoever's they are, also in the recycle bin."""
    query = sa.select(1).where(_v.id == volume_id, _has_snapshots)
    return tx.execute(query).first() is not None


def is_end_unseen(tx: Transaction, volume_id: str) -> bool:
    """Whether no guest has seen how large it is since its end was added: that is empty, and nobody needs it."""
    return bool(tx.execute(sa.select(_v.end_unseen).where(_v.id == volume_id)).scalar())


def reset(tx: Transaction, volume_id: str, status: VolumeStatus, operation_id: str, **changes: Any) -> None:
    """Give a volume that ``operation_id`` holds another state, if it holds it still."""
    _rows.settle(tx, volume_id, operation_id, status=status, **changes)


def place(tx: Transaction, volume_id: str, pool: str | None) -> None:
    """Note the pool that was chosen, or that none is."""
    tx.send(_rows.by_id, {"b_id": volume_id, "pool": pool})


def delete(tx: Transaction, volume_id: str, *, bytes_stay: bool = False) -> bool:
    """Forget a volume, and bury it unless its bytes stay somebody's. False when it is gone already."""
    if not bytes_stay:
        tombstones.bury(tx, _bury, b_id=volume_id)
    return bool(tx.execute(_delete, {"b_id": volume_id}).rowcount)


def multiattach(tx: Transaction, volume_ids: Collection[str]) -> frozenset[str]:
    """The volumes of these that several servers may have at once."""
    query = sa.select(_v.id).where(_v.id.in_(list(volume_ids)), _v.multiattach)
    return frozenset(tx.execute(query).scalars()) if volume_ids else frozenset()


def metadata(
    tx: Transaction,
    who: Scope,
    *,
    all_projects: bool = False,
    filters: Iterable[sa.ColumnElement[bool]] = (),
) -> Sequence[dict[str, str]]:
    """The metadata of those that have any."""
    query = sa.select(_v.metadata).where(*_rows.seen(who, all_projects), *filters)
    return [found for found in tx.execute(query).scalars() if found]

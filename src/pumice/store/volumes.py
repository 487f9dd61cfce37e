"""Volumes: every read and write of their rows.

A state is changed by ``move`` alone: one conditional UPDATE. When it changes nothing, the volume is read again
to explain why; two that race for one volume can therefore not both win.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import InvalidState, NotFound
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus, may_move
from pumice.model.volume import Volume
from pumice.store import tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import attachments, snapshots, volumes
from pumice.store.tenant_rows import TenantRows

_v = volumes.c
_rows = TenantRows(volumes, Volume, "Volume")

get = _rows.visible
page = _rows.page

COLUMNS = frozenset(column.name for column in volumes.c) - {
    "metadata",
    "image_metadata",
    "encryption_key_id",
    "operation_id",
    "read_only_told",
    "moved_at",
}
"""What lists may be sorted and filtered by."""

_insert = sa.insert(volumes)
_delete = sa.delete(volumes).where(_v.id == sa.bindparam("b_id"))
_bury = tombstones.burial(tombstones.Kind.VOLUME, _v.id, _v.pool, _v.id == sa.bindparam("b_id"))
_change = sa.update(volumes).where(_v.id == sa.bindparam("b_id"))
_has_snapshots = sa.exists().where(snapshots.c.volume_id == _v.id)
_has_attachments = sa.exists().where(attachments.c.volume_id == _v.id)
_move = _change.where(_v.status.in_(sa.bindparam("b_start", expanding=True)))
_has_strange_snapshots = _has_snapshots.where(snapshots.c.project_id != _v.project_id)
_move_free = _move.where(sa.or_(_v.status != VolumeStatus.AVAILABLE, ~_has_attachments))
_ATTACHING = frozenset({VolumeStatus.RESERVED, VolumeStatus.ATTACHING, VolumeStatus.IN_USE})
"""To these an attachment leads, and is judged itself."""
_move_unattached = _move.where(~_has_attachments, ~_has_strange_snapshots)
_move_unused = _move_unattached.where(~_has_snapshots)
_attached = sa.select(attachments.c.id).where(attachments.c.volume_id == sa.bindparam("b_id")).limit(1)
_reset = _change.where(_v.operation_id == sa.bindparam("b_operation"))


def insert(tx: Transaction, volume: Volume) -> None:
    """Add a volume."""
    tx.execute(_insert, _rows.row(volume))


def find(tx: Transaction, volume_id: str) -> Volume | None:
    """A volume for the house's own work, if it still exists."""
    return _rows.get(tx, volume_id)


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
    snapshots do not matter. What has an attachment is not available, whatever its status was reset to.
    """
    assert all(may_move(state, end) for state in start), f"no edge to {end}"
    moves = _move if end in _ATTACHING else _move_free
    statement = _move_unused if unused else _move_unattached if unattached else moves
    values = _arrival(end) | changes
    result = tx.execute(statement, {"b_id": volume_id, "b_start": sorted(start)} | values)
    if result.rowcount == 1:
        return
    volume = _rows.get(tx, volume_id)
    if volume is None:
        raise NotFound("Volume", volume_id)
    if volume.status in start and (held := tx.execute(_attached, {"b_id": volume_id}).scalar()):
        raise InvalidState(
            f"Invalid volume: Volume status must {must}, and attachment {held} has it: detach it."
        )
    if volume.status in start and (unused or unattached):
        raise InvalidState(f"Invalid volume: Volume status must {must}, but it has {_named(tx, volume)}.")
    raise InvalidState(f"Invalid volume: Volume status must {must}, but it is {volume.status}.")


def _named(tx: Transaction, volume: Volume) -> str:
    """Which snapshots a volume has, a few of many; another project's are not named."""
    query = sa.select(snapshots.c.id).where(snapshots.c.volume_id == volume.id)
    own = query.where(snapshots.c.project_id == volume.project_id).order_by(snapshots.c.created_at)
    ids = list(tx.execute(own).scalars())
    if not ids:
        return "snapshots of another project"
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"snapshot{'s' if len(ids) > 1 else ''} {', '.join(ids[:3])}{more}"


def _arrival(status: VolumeStatus) -> dict[str, Any]:
    """What is written when a volume comes to a state."""
    at = now()
    return {"status": status, "moved_at": at, "updated_at": at}


def change(tx: Transaction, volume_id: str, **changes: Any) -> None:
    """Write columns other than the status."""
    assert "status" not in changes
    tx.execute(_change, {"b_id": volume_id, "updated_at": now()} | changes)


def reset(tx: Transaction, volume_id: str, status: VolumeStatus, operation_id: str, **changes: Any) -> None:
    """Give a volume that ``operation_id`` holds another state, if it holds it still."""
    values = _arrival(status) | {"operation_id": None} | changes
    tx.execute(_reset, {"b_id": volume_id, "b_operation": operation_id} | values)


def put(tx: Transaction, volume_id: str, status: VolumeStatus) -> bool:
    """Give a volume a state because an administrator says so. False while an operation holds it.

    It is not known for anybody, so it has no age there.
    """
    held = _v.operation_id.is_not(None)
    values = {"status": status, "moved_at": None, "updated_at": now()}
    changed = sa.update(volumes).where(_v.id == volume_id, ~held).values(values)
    return bool(tx.execute(changed).rowcount)


def place(tx: Transaction, volume_id: str, pool: str | None) -> None:
    """Note the pool that was chosen, or that none is."""
    tx.execute(_change, {"b_id": volume_id, "pool": pool})


def delete(tx: Transaction, volume_id: str, *, bytes_stay: bool = False) -> bool:
    """Forget a volume, and bury it unless its bytes stay somebody's. False when it is gone already."""
    if not bytes_stay:
        tombstones.bury(tx, _bury, b_id=volume_id)
    return bool(tx.execute(_delete, {"b_id": volume_id}).rowcount)


def total(
    tx: Transaction,
    who: Scope,
    *,
    all_projects: bool = False,
    filters: Iterable[sa.ColumnElement[bool]] = (),
) -> tuple[int, int]:
    """How many volumes a list has on all its pages, and their sizes' sum in GiB."""
    size = sa.func.coalesce(sa.func.sum(_v.size), 0)
    query = sa.select(sa.func.count().label("number"), size.label("size"))
    row = tx.execute(query.where(*_rows.seen(who, all_projects), *filters)).one()
    return row.number, row.size


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


def by_project(tx: Transaction, host: str) -> dict[str, tuple[int, int]]:
    """Number and GiB of each project's volumes on ``host@backend``."""
    query = sa.select(_v.project_id, sa.func.count().label("number"), sa.func.sum(_v.size).label("size"))
    here = _v.pool.startswith(f"{host}#", autoescape=True)
    rows = tx.execute(query.where(here).group_by(_v.project_id))
    return {row.project_id: (row.number, row.size) for row in rows}

"""The recycle bin: volumes and snapshots that were deleted and can be had back, as one list; and its clock.

What is in it stays a row of its own table, with its bytes, its claim and its key. ``recycled_at`` says that it
is here, whatever becomes of it, and hides it from every other reader of tenants' rows (``tenant_rows.py``).

The bin's clock counts the time that the bin has seen pass: at each look no more than ``LONGEST_LOOK``. So
neither a clock that jumps a year ahead, nor a database that was away or is restored from a copy, ends anything
early.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pumice.model.states import SNAPSHOT, VOLUME, S, SnapshotStatus, Transitions, VolumeStatus
from pumice.store import clock
from pumice.store.columns import ID, WORD
from pumice.store.database import Transaction
from pumice.store.rows import put
from pumice.store.tables import projects, recycle_clock, snapshots, volume_types, volumes
from pumice.store.tenant_rows import TenantRows

COLUMNS = frozenset({"recycled_at", "recycled_until", "recycled_told", "recycled_counts"})
"""What the tables of volumes and snapshots have for the bin: no other list is sorted or filtered by it."""
OUT: Mapping[str, Any] = dict.fromkeys(sorted(COLUMNS))
"""What these columns hold in the row of what is not in the bin."""
LONGEST_LOOK = 600.0
"""Seconds that the bin's clock goes forward at most from one look to the next."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in the bin. ``size`` in GiB; moments of the bin in seconds of its clock."""

    id: str
    kind: str
    """``volume`` or ``snapshot``"""
    project_id: str
    user_id: str
    name: str | None
    description: str | None
    size: int
    status: str
    volume_id: str
    """The snapshot's volume; a volume itself."""
    type_id: str | None
    pool: str
    metadata: dict[str, str]
    recycled_at: datetime
    recycled_until: float
    recycled_told: float | None
    """When its owner was told that it may go before its time, as space is short."""
    recycled_counts: bool

    @property
    def is_kept(self) -> bool:
        """Whether it is whole, and can be had back."""
        return self.status == VolumeStatus.RECYCLED


_COPIED = (
    *("project_id", "user_id", "name", "description", "size", "type_id", "pool", "metadata", "recycled_at"),
    *("recycled_until", "recycled_told", "recycled_counts"),
)


def _branch(table: sa.Table, kind: str, volume_id: sa.Column[str]) -> sa.Select[Any]:
    named = sa.literal(kind, WORD).label("kind"), volume_id.label("volume_id")
    status = sa.type_coerce(table.c.status, WORD).label("status")
    columns = (table.c.id, *named, status, *(table.c[name] for name in _COPIED))
    return sa.select(*columns).where(table.c.recycled_at.is_not(None))


BIN = sa.union_all(
    _branch(volumes, "volume", volumes.c.id), _branch(snapshots, "snapshot", snapshots.c.volume_id)
).subquery("recycle_bin")
_b = BIN.c
_rows = TenantRows(BIN, Entry, "Recycled volume or snapshot", in_bin=True)
page = _rows.page
get = _rows.visible
find = _rows.get

SORTED_BY = ("recycled_at", "size", "name", "id")
"""What its list may be sorted by."""


def _goes(kind: Transitions[S], deleting: S, recycled: S) -> set[str]:
    """The states at rest from which something of this kind is deleted, and does not come to the bin first."""
    return {
        str(state)
        for state in kind.at_rest
        if kind.may_move(state, deleting) and not kind.may_move(state, recycled)
    }


GOES = sorted(
    _goes(VOLUME, VolumeStatus.DELETING, VolumeStatus.RECYCLED)
    | _goes(SNAPSHOT, SnapshotStatus.DELETING, SnapshotStatus.RECYCLED)
)
"""The states of what is in the bin and nobody deletes for good at the moment."""
_due = (
    _rows.select.where(_b.recycled_until <= sa.bindparam("b_seconds"), _b.status.in_(GOES))
    .order_by(_b.recycled_until, _b.kind.desc(), _b.id)
    .limit(sa.bindparam("b_limit"))
    .offset(sa.bindparam("b_offset"))
)
_start = sa.select(sa.literal(1).label("one")).subquery("start")
_hidden = sa.exists().where(
    snapshots.c.volume_id == sa.bindparam("b_volume", type_=ID), snapshots.c.recycled_at.is_not(None)
)
_standing = sa.select(
    projects.c.extra,
    volume_types.c.extra_specs,
    recycle_clock.c.seconds,
    recycle_clock.c.seen_at,
    _hidden.label("has_snapshots"),
).select_from(
    _start.outerjoin(projects, projects.c.id == sa.bindparam("b_project", type_=ID))
    .outerjoin(volume_types, volume_types.c.id == sa.bindparam("b_type", type_=ID))
    .outerjoin(recycle_clock, recycle_clock.c.id == 1)
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides on something that is deleted: who says how long it is kept, and the time of the bin."""

    project: Mapping[str, Any]
    """What the project says beside its columns; nothing when it is gone."""
    extra_specs: Mapping[str, str]
    """The extra specs of its type."""
    seconds: float
    stands_still: bool
    """Whether nobody has looked for long, as there was nothing in the bin."""
    has_snapshots: bool
    """Whether snapshots of the volume are in the bin."""


def standing(tx: Transaction, project_id: str, type_id: str | None, volume_id: str = "") -> Standing:
    """What there is to know before something is deleted, in one look."""
    row = tx.execute(_standing, {"b_project": project_id, "b_type": type_id, "b_volume": volume_id}).one()
    seconds = _seconds(row.seconds, row.seen_at)
    stands = row.seen_at is None or clock.time() - row.seen_at > LONGEST_LOOK
    return Standing(row.extra or {}, row.extra_specs or {}, seconds, stands, bool(row.has_snapshots))


def _seconds(seconds: float | None, seen_at: float | None) -> float:
    if seconds is None or seen_at is None:
        return 0.0  # nobody has looked yet: it is as early as it will ever be
    return seconds + min(max(clock.time() - seen_at, 0.0), LONGEST_LOOK)


def seconds(tx: Transaction) -> float:
    """What time it is by the bin's clock."""
    row = tx.execute(sa.select(recycle_clock.c.seconds, recycle_clock.c.seen_at)).first()
    return _seconds(row.seconds, row.seen_at) if row else 0.0


def look(tx: Transaction) -> float | None:
    """Let the bin's clock go on; what time it is. None, and it stands still, while the bin is empty."""
    if tx.execute(sa.select(_b.id).limit(1)).first() is None:
        return None
    at = seconds(tx)
    set_clock(tx, at)
    return at


def set_clock(tx: Transaction, at: float) -> None:
    """Note what time it is in the bin at this moment."""
    put(tx, recycle_clock, [{"id": 1, "seconds": at, "seen_at": clock.time()}], keep=())


def due(tx: Transaction, at: float, limit: int, offset: int = 0) -> Sequence[Entry]:
    """What has been kept for long enough, that longest first; a volume before the snapshots that go with it."""
    values = {"b_seconds": at, "b_limit": limit, "b_offset": offset}
    return _rows.all(tx.execute(_due, values))


def uncounted(tx: Transaction, project_id: str) -> int:
    """GiB of what a project has in the bin that its quota does not count."""
    size = sa.func.coalesce(sa.func.sum(_b.size), 0)
    return int(tx.execute(sa.select(size).where(_b.project_id == project_id, ~_b.recycled_counts)).scalar_one())


def in_pools(tx: Transaction) -> Sequence[str]:
    """The pools that something of the bin lies in."""
    return tx.execute(sa.select(_b.pool).distinct().order_by(_b.pool)).scalars().all()


def oldest(tx: Transaction, pool: str, limit: int) -> Sequence[Entry]:
    """What has been in the bin for longest in a pool; a volume before the snapshots that went with it."""
    order = _b.recycled_at, _b.kind.desc(), _b.id
    return _rows.all(tx.execute(_rows.select.where(_b.pool == pool).order_by(*order).limit(limit)))


def note_told(tx: Transaction, entry: Entry, at: float) -> None:
    """Note that its owner is told, at this time of the bin, that it may go before its time."""
    table = volumes if entry.kind == "volume" else snapshots
    tx.execute(
        sa.update(table).where(table.c.id == sa.bindparam("b_id")).values(recycled_told=at), {"b_id": entry.id}
    )


def is_(column: str, value: str) -> sa.ColumnElement[bool]:
    """A condition on what is in the bin, for its list."""
    return _b[column] == value


KEYS: Mapping[str, str] = {name: name for name in SORTED_BY}

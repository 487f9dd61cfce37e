"""What this installation has let go of: the proof that what is left of it outside is ours to remove.

Whoever deletes the row of something that is also outside, or takes a thing's place from it, buries it in the
same transaction. What has neither a row nor a tombstone is not known, and is never destroyed
(``loops/orphans.py``). Ids and accounts are never used again, so a tombstone stays true for ever; it is only
forgotten once nothing that was under way then can still be alive.
"""

from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import tombstones

_t = tombstones.c


class Kind(StrEnum):
    """The kinds of things that may be left outside once their rows are gone."""

    VOLUME = "volume"
    SNAPSHOT = "snapshot"
    BACKUP = "backup"
    SERVER = "server"
    ATTACHMENT = "attachment"
    ACCOUNT = "account"
    """The CHAP user with which an attachment's initiator logged in."""
    DISK = "disk"
    """A disk's serial number, at its server."""


EVERYWHERE = ""
"""The place of what has none."""


def grave(
    kind: Kind, key: sa.ColumnElement[str], place: sa.ColumnElement[str] | None, *where: sa.ColumnElement[bool]
) -> sa.Select[*tuple[Any, ...]]:
    """The tombstones of the rows that it finds: ``key`` is their id, ``place`` where they are."""
    at: sa.ColumnElement[str] = sa.literal(EVERYWHERE) if place is None else place
    known = sa.exists().where(_t.kind == kind, _t.id == key, _t.place == at).correlate_except(tombstones)
    found = sa.select(sa.literal(str(kind)), key, at, sa.bindparam("b_now", type_=sa.DateTime()))
    return found.where(*where, key.is_not(None), at.is_not(None), ~known).distinct()


def burial(*graves: sa.Select[*tuple[Any, ...]]) -> sa.Insert:
    """The statement that sets these tombstones."""
    return sa.insert(tombstones).from_select(["kind", "id", "place", "buried_at"], sa.union_all(*graves))


def bury(tx: Transaction, statement: sa.Insert, **values: object) -> None:
    """Run a statement that buries a row."""
    tx.send(statement, {"b_now": now(), **values})


def bury_one(tx: Transaction, kind: Kind, id: str, place: str) -> None:  # noqa: A002 - the column's name
    """Bury what has lost its place although its row stays."""
    tx.execute(sa.delete(tombstones).where(_t.kind == kind, _t.id == id, _t.place == place))
    tx.execute(sa.insert(tombstones), {"kind": kind, "id": id, "place": place, "buried_at": now()})


def buried(tx: Transaction, kind: Kind, ids: Collection[str], place: str = EVERYWHERE) -> frozenset[str]:
    """The ids that were let go of at a place."""
    if not ids:
        return frozenset()
    query = sa.select(_t.id).where(_t.kind == kind, _t.place == place, _t.id.in_(list(ids)))
    return frozenset(tx.execute(query).scalars())


def prune(tx: Transaction, seconds: float, most: int = 1000) -> int:
    """Forget tombstones that are older than ``seconds``."""
    old = (
        sa.select(_t.kind, _t.id, _t.place)
        .where(_t.buried_at < now() - timedelta(seconds=seconds))
        .order_by(_t.buried_at)
        .limit(most)
    )
    these = sa.tuple_(_t.kind, _t.id, _t.place).in_(old)
    return int(tx.execute(sa.delete(tombstones).where(these)).rowcount)

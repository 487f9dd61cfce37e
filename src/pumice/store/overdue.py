"""Operations that do not end by themselves: overdue, not understood, or at a place that nobody serves."""

from collections.abc import Collection, Sequence
from datetime import timedelta

import sqlalchemy as sa

from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.operations import UNDER_WAY, Row
from pumice.store.tables import operations, services
from pumice.store.work_queue import queue_topic

STUCK_SECONDS = 60.0
"""How long after a deadline who holds an operation has not told of it: then that is stuck, and loses it."""

_o = operations.c
_overdue = sa.and_(
    _o.state.in_(UNDER_WAY),
    _o.settled.is_(False),
    _o.deadline < sa.bindparam("at"),
    sa.or_(
        _o.lease_until.is_(None),
        _o.lease_until < sa.bindparam("at"),
        _o.deadline < sa.bindparam("at", type_=sa.Float()) - STUCK_SECONDS,
    ),
)


def put_aside(tx: Transaction, operation_id: str, attempt: int, why: str) -> None:
    """Put down an operation that this version cannot go on with, and say why; another version may."""
    mine = sa.update(operations).where(_o.id == operation_id, _o.attempt == attempt)
    row = tx.execute(mine.values(owner=None, lease_until=None, unread=why).returning(_o.place)).first()
    if row is not None:
        tx.notify(queue_topic(row.place))


def ids(tx: Transaction, at: float, aside: Collection[str], most: int) -> Sequence[str]:
    """Ids of operations past their deadline that nobody holds and nobody was told of, the oldest first."""
    query = sa.select(_o.id).where(_overdue, _o.id.not_in(list(aside))).order_by(_o.deadline).limit(most)
    return tx.execute(query, {"at": at}).scalars().all()


def _served(down_seconds: float) -> sa.Exists:
    """Whether the service of its place was heard from lately."""
    c, since = services.c, now() - timedelta(seconds=down_seconds)
    return sa.exists().where(
        c.updated_at >= since,
        sa.or_(
            sa.and_(c.binary == "nova-compute", _o.place == sa.literal("compute:") + c.host),
            sa.and_(
                c.binary == "cinder-volume",
                _o.place == sa.literal("volume:") + sa.func.coalesce(c.cluster, c.host),
            ),
        ),
    )


def unserved(tx: Transaction, kinds: Collection[str], down_seconds: float) -> Sequence[tuple[str, str, str]]:
    """Operations that wait at a place whose service was not heard from lately: id, kind and place."""
    query = sa.select(_o.id, _o.kind, _o.place).where(
        _o.state == "running",
        _o.kind.in_(list(kinds)),
        _o.place != "scheduler",
        _o.owner.is_(None),
        ~_served(down_seconds),
    )
    return [(row.id, row.kind, row.place) for row in tx.execute(query)]


def stranded(tx: Transaction, at: float, down_seconds: float, operation_id: str | None = None) -> Sequence[Row]:
    """Operations that turn back, at a place that nobody serves, while somebody waits for how they end."""
    query = sa.select(operations).where(
        _o.state == "undoing",
        _o.settled.is_(False),
        _o.place != "scheduler",
        sa.or_(_o.owner.is_(None), _o.lease_until.is_(None), _o.lease_until < at),
        ~_served(down_seconds),
    )
    if operation_id is not None:
        query = query.where(_o.id == operation_id)
    return tx.execute(query).mappings().all()


def take(tx: Transaction, row: Row, owner: str) -> int:
    """Hold one of them, until this transaction has put it down again. Its new attempt."""
    attempt: int = row["attempt"] + 1
    tx.execute(sa.update(operations).where(_o.id == row["id"]).values(owner=owner, attempt=attempt))
    return attempt


def hasten(tx: Transaction, operation_id: str, deadline: float) -> None:
    """Let the deadline of an operation that nobody holds have passed."""
    free = sa.update(operations).where(_o.id == operation_id, _o.owner.is_(None))
    tx.execute(free.values(deadline=deadline - 1))


def get(tx: Transaction, operation_id: str, at: float) -> Row | None:
    """An overdue operation; None if it is not overdue any more."""
    query = sa.select(operations).where(_o.id == operation_id, _overdue)
    return tx.execute(query, {"at": at}).mappings().one_or_none()

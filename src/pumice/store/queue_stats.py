"""How much is under way, for whoever watches: one statement, and only over what has not ended."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pumice.store.columns import TIME
from pumice.store.database import Transaction
from pumice.store.operations import CLEANING, UNDER_WAY, is_cleaning
from pumice.store.tables import operation_lines, operations

_o = operations.c


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How many operations of a kind are in a state at a place, and since when the oldest runnable one waits."""

    kind: str
    state: str
    place: str
    number: int
    oldest: datetime | None
    """When the last thing was written about the oldest of them; None where none could go on now."""
    settled_at: datetime | None = None
    """When the first of them that is cleaning was told as failed."""


def queue_stats(tx: Transaction, at: float) -> list[QueueStats]:
    """What is under way, in one statement. One whose failure was told and that still cleans is ``cleaning``."""
    state = sa.case((is_cleaning, CLEANING), else_=_o.state)
    last = (
        sa.select(sa.func.max(operation_lines.c.started_at))
        .where(operation_lines.c.operation_id == _o.id)
        .scalar_subquery()
    )
    runnable = sa.and_(
        _o.state.in_(("running", "undoing")),
        _o.run_at <= at,
        sa.or_(_o.lease_until.is_(None), _o.lease_until < at),
    )
    oldest = sa.func.min(sa.case((runnable, sa.func.coalesce(last, _o.created_at)), else_=None))
    query = (
        sa.select(
            _o.kind,
            state.label("state"),
            _o.place,
            sa.func.count().label("number"),
            sa.type_coerce(oldest, TIME).label("oldest"),
            sa.type_coerce(sa.func.min(_o.settled_at), TIME).label("settled_at"),
        )
        .where(_o.state.in_(UNDER_WAY))
        .group_by(_o.kind, state, _o.place)
    )
    return [QueueStats(**row) for row in tx.execute(query).mappings()]

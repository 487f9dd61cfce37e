"""Calls to the outside that hang: their callers went on without them, and what they are about is fenced.

Written by the process in which they hang, and removed when they come back or that process has ended.
"""

from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa

from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import hanging_calls

Row = sa.RowMapping
_h = hanging_calls.c


def add(
    tx: Transaction,
    key: str,
    owner: str,
    place: str,
    call: str,
    *,
    subject: str | None,
    operation_id: str | None,
    pool: str | None,
    seconds: float,
) -> None:
    """Say that a call that was begun ``seconds`` ago hangs."""
    since = now() - timedelta(seconds=seconds)
    row = {"id": key, "owner": owner, "place": place, "call": call[:255], "subject": subject}
    tx.execute(sa.insert(hanging_calls), row | {"operation_id": operation_id, "pool": pool, "since": since})


def remove(tx: Transaction, key: str) -> None:
    """Forget a call that has come back."""
    tx.execute(sa.delete(hanging_calls).where(_h.id == key))


def every(tx: Transaction) -> Sequence[Row]:
    """The calls that hang, the oldest first."""
    return tx.execute(sa.select(hanging_calls).order_by(_h.since)).mappings().all()


def of_operation(tx: Transaction, operation_id: str) -> Sequence[Row]:
    """The calls of one operation that hang, the oldest first."""
    query = sa.select(hanging_calls).where(_h.operation_id == operation_id).order_by(_h.since)
    return tx.execute(query).mappings().all()

"""Rows of ``failed_logins``: how often in a row a user's password was wrong, and when last."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import put as put_rows
from pumice.store.tables import failed_logins, users

_f = failed_logins.c


@dataclass(frozen=True, slots=True)
class Failed:
    """A user's failed log-ins: how many, and when the last was."""

    number: int
    at: datetime


def get(tx: Transaction, user_id: str) -> Failed | None:
    """The wrong passwords since the last right one; None for a user whose last password was right."""
    row = tx.execute(sa.select(_f.number, _f.at).where(_f.user_id == user_id)).one_or_none()
    return Failed(row.number, row.at) if row else None


def put(tx: Transaction, user_id: str, number: int) -> None:
    """Note one more, now. Nothing happens to a user who is gone meanwhile."""
    if tx.execute(sa.select(users.c.id).where(users.c.id == user_id)).scalar() is not None:
        put_rows(tx, failed_logins, [{"user_id": user_id, "number": number, "at": now()}], keep=())


def forget(tx: Transaction, user_id: str) -> None:
    """Forget a user's wrong passwords: the last was right, or the password is another one."""
    tx.execute(sa.delete(failed_logins).where(_f.user_id == user_id))

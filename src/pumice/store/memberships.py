"""Rows of ``group_members``: who is in which group."""

from collections.abc import Sequence

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import group_members
from pumice.store.tokens import CHANGED

_m = group_members.c


def users_in(tx: Transaction, group_id: str) -> Sequence[str]:
    """The ids of a group's members."""
    query = sa.select(_m.user_id).where(_m.group_id == group_id)
    return tx.execute(query.order_by(_m.user_id)).scalars().all()


def groups_of(tx: Transaction, user_id: str) -> Sequence[str]:
    """The ids of the groups that a user is in."""
    return tx.execute(sa.select(_m.group_id).where(_m.user_id == user_id)).scalars().all()


def has(tx: Transaction, group_id: str, user_id: str) -> bool:
    """Whether a user is in a group."""
    query = sa.select(sa.literal(1)).where(_m.group_id == group_id, _m.user_id == user_id)
    return tx.execute(query).first() is not None


def add(tx: Transaction, group_id: str, user_id: str) -> None:
    """Put a user into a group, who is not in it."""
    tx.execute(sa.insert(group_members), {"group_id": group_id, "user_id": user_id})


def remove(tx: Transaction, group_id: str, user_id: str) -> None:
    """Take a user out of a group."""
    tx.execute(sa.delete(group_members).where(_m.group_id == group_id, _m.user_id == user_id))
    tx.notify(CHANGED)

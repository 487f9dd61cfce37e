"""The accounts by which a volume's new host reads it at its old one, each for the time of one copy."""

from secrets import token_hex

import sqlalchemy as sa

from pumice.store import tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import move_accounts
from pumice.store.tombstones import Kind

_a = move_accounts.c


def make(tx: Transaction) -> str:
    """A new account; its user name. CHAP takes a password of 12 to 16 characters."""
    username = token_hex(10)
    row = {"username": username, "password": token_hex(8), "created_at": now()}
    tx.execute(sa.insert(move_accounts), row)
    return username


def password(tx: Transaction, username: str) -> str | None:
    """The password of an account; None once it is gone."""
    return tx.execute(sa.select(_a.password).where(_a.username == username)).scalar()


def forget(tx: Transaction, username: str) -> None:
    """The account is used no more: what is left of it outside is nobody's."""
    tx.execute(sa.delete(move_accounts).where(_a.username == username))
    tombstones.bury_one(tx, Kind.ACCOUNT, username, tombstones.EVERYWHERE)

"""The accounts by which a volume that is moved is reached, each for the time of one copy.

By it its new host reads it at its old one; or the server that uses it is let in to its new disk, and has it for
good then.
"""

from secrets import token_hex

import sqlalchemy as sa

from pumice.store import tombstones
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import move_accounts
from pumice.store.tombstones import Kind

_a = move_accounts.c


def make(tx: Transaction, ending: str = "") -> str:
    """A new account; its user name, which ends so. CHAP takes a password of 12 to 16 characters."""
    username = token_hex(10) + ending
    row = {"username": username, "password": token_hex(8), "created_at": now()}
    tx.execute(sa.insert(move_accounts), row)
    return username


def password(tx: Transaction, username: str) -> str | None:
    """The password of an account; None once it is gone."""
    return tx.execute(sa.select(_a.password).where(_a.username == username)).scalar()


def take_over(tx: Transaction, username: str) -> str:
    """The account becomes an attachment's: its password, of which nothing is left here.

    Of one that was forgotten it is a new one: the target learns it when the attachment connects again.
    """
    found = password(tx, username) or token_hex(8)
    tx.execute(sa.delete(move_accounts).where(_a.username == username))
    return found


def forget(tx: Transaction, username: str) -> None:
    """The account is used no more: what is left of it outside is nobody's."""
    tx.execute(sa.delete(move_accounts).where(_a.username == username))
    tombstones.bury_one(tx, Kind.ACCOUNT, username, tombstones.EVERYWHERE)

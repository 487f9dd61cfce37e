"""The database's clock: the one that every host means when it writes down a moment for another."""

import time

import sqlalchemy as sa

from pumice.store.database import Transaction

_NOW = sa.text("SELECT extract(epoch FROM clock_timestamp())")


def seconds(tx: Transaction) -> float:
    """Seconds since the epoch. SQLite has one host, and so its clock."""
    if tx.connection.dialect.name == "postgresql":
        return float(tx.execute(_NOW).scalar_one())
    return time.time()

"""Sees that whatever a request changes of a project's things is in the log: to be told to streams and webhooks.

The fixtures of the clouds put it between the API and its database, so every test of a request looks; and those
that write everything (``test_volume_answers.py``, ``test_compute_answers.py``) ask each route that writes.
"""

from collections.abc import Callable
from functools import WRAPPER_ASSIGNMENTS, update_wrapper
from typing import Any

import sqlalchemy as sa

from pumice.store import tables
from pumice.store.changes import CHANGED, TOLD
from pumice.store.database import Database, Transaction
from pumice.store.sqlite import SqliteDatabase

OF_NO_LOG = (tables.images, tables.image_bases, tables.schedules)
"""What clients may wait for, and is no subject of events."""
OF_THE_WITNESS = "of_the_witness"
"""The option of its own statements, which no test counts."""
THINGS = [table for table in TOLD if "id" in table.c and table not in OF_NO_LOG]


class Witness:
    """A database that looks at each transaction of a request before it is committed."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.untold: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def write(self, work: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        def watched(tx: Transaction, *args: Any, **kw: Any) -> Any:
            before = things(tx)
            result = work(tx, *args, **kw)
            told = {topic.removeprefix(CHANGED) for topic in tx.topics if topic.startswith(CHANGED)}
            if (changed := told & (before | things(tx))) and not in_log(tx, told):
                self.untold.append(f"{getattr(work, '__qualname__', work)} changed {changed} and told nothing")
            return result

        named = [name for name in WRAPPER_ASSIGNMENTS if hasattr(work, name)]
        return await self._db.write(update_wrapper(watched, work, assigned=named), *args, **kw)


def things(tx: Transaction) -> set[str]:
    return {key for table in THINGS for key in _ask(tx, sa.select(table.c.id)).scalars()}


def in_log(tx: Transaction, ids: set[str]) -> bool:
    """Whether one of these is an operation: what a transaction writes of one is told."""
    query = sa.select(tables.operations.c.id).where(tables.operations.c.id.in_(ids))
    return _ask(tx, query).first() is not None


def _ask(tx: Transaction, query: sa.Select[Any]) -> Any:
    return tx.connection.execute(query, execution_options={OF_THE_WITNESS: True})


def witnessed(db: Database) -> Any:
    """The database for an API. PostgreSQL is left alone: it would see the same, for more."""
    return Witness(db) if isinstance(db, SqliteDatabase) else db


def refuse_untold(db: Any) -> None:
    """Raise ``AssertionError`` if something was changed and not told."""
    assert not isinstance(db, Witness) or not db.untold, "\n".join(db.untold)

"""A name or id that is taken, as the database's own constraint says it.

Only that is told as taken. Whatever else a constraint refuses (a row that has just gone, a value that may not
be empty) goes on as what it is: a race, which ``write`` runs again, or a bug of ours.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from pumice.model.errors import Conflict
from pumice.store.database import sqlstate

_POSTGRESQL = "23505"
_SQLITE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


@contextmanager
def refused_as(sentence: str) -> Iterator[None]:
    """Raise ``Conflict`` with this sentence where a statement within meets a value that another row has."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        if not _is_taken(error):
            raise
        raise Conflict(sentence) from None


def _is_taken(error: sa.exc.IntegrityError) -> bool:
    return sqlstate(error) == _POSTGRESQL or getattr(error.orig, "sqlite_errorcode", None) in _SQLITE

"""The next number of the operation log, which orders beginnings, lines and ends of all operations.

On PostgreSQL it is the sequence of the lines. SQLite has one writer at a time, so its numbers are in the order
of the commits: milliseconds, or one more than the newest. No number of what was pruned is given again.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_MILLISECONDS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
_NEWEST = (("operation_lines", "number"), ("operations", "began_number"), ("operations", "ended_number"))


class next_number(FunctionElement[int]):  # noqa: N801 (it reads as the function of SQL that it is)
    """The expression, in an INSERT or UPDATE."""

    inherit_cache = True
    type = sa.BigInteger()


@compiles(next_number, "postgresql")
def _of_postgresql(*_: Any, **__: Any) -> str:
    return "nextval('operation_lines_number_seq')"


@compiles(next_number, "sqlite")
def _of_sqlite(*_: Any, **__: Any) -> str:
    newest = (f"1 + coalesce((SELECT max({column}) FROM {table}), 0)" for table, column in _NEWEST)  # noqa: S608
    return f"(SELECT max({_MILLISECONDS}, {', '.join(newest)}))"

"""Pages by key: a page begins after the row of its marker, and costs the same wherever that is.

NULLs sort first, as SQLite has them.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa


def order(keys: Sequence[tuple[Any, bool]]) -> Sequence[sa.UnaryExpression[Any]]:
    """How a page is sorted by ``keys``: pairs of column and whether it is ascending."""
    found = []
    for column, ascending in keys:
        key = column.asc() if ascending else column.desc()
        if column.nullable:  # said only where it matters: PostgreSQL has no index for it
            key = key.nulls_first() if ascending else key.nulls_last()
        found.append(key)
    return found


def after(row: Any, keys: Sequence[tuple[Any, bool]]) -> sa.ColumnElement[bool]:
    """The rows that follow ``row`` in the order of ``keys``."""
    alternatives = []
    equal: list[sa.ColumnElement[bool]] = []
    for column, ascending in keys:
        found = getattr(row, column.name)
        value = sa.literal(found, column.type)  # as a parameter: comparisons refuse a plain True
        if found is None:
            beyond = column.is_not(None) if ascending else sa.false()
            same = column.is_(None)
        else:
            beyond = column > value if ascending else sa.or_(column < value, column.is_(None))
            same = column == value
        alternatives.append(sa.and_(*equal, beyond))
        equal.append(same)
    return sa.and_(*_begin(row, *keys[0]), sa.or_(*alternatives))


def _begin(row: Any, column: Any, ascending: bool) -> Sequence[sa.ColumnElement[bool]]:
    """A bound on the first key. The rest implies it, but only this leads a database into an index."""
    value = getattr(row, column.name)
    if value is None or isinstance(value, bool) or (column.nullable and not ascending):
        return ()  # NULLs follow the last value, and booleans are too few to matter
    return (column >= value if ascending else column <= value,)

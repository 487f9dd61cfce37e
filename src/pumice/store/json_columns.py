"""Looking into JSON columns, on every database: pairs of an object, entries of a list.

SQLite has one table function for both, PostgreSQL one for each. A column that holds something else has none.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _Pairs(FunctionElement[Any]):
    inherit_cache = True


class _Entries(FunctionElement[Any]):
    inherit_cache = True


def has_pair(column: sa.ColumnElement[Any], key: str, value: str) -> sa.ColumnElement[bool]:
    """The column's object has this pair."""
    each = _Pairs(column).table_valued("key", "value")
    return sa.exists(sa.select(1).select_from(each).where(each.c.key == key, each.c.value == value))


def has_entry(column: sa.ColumnElement[Any], value: str) -> sa.ColumnElement[bool]:
    """The column's list has this entry."""
    each = _Entries(column).table_valued("value")
    return sa.exists(sa.select(1).select_from(each).where(each.c.value == value))


@compiles(_Pairs)
@compiles(_Entries)
def _on_sqlite(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"json_each(CASE WHEN json_valid({column}) THEN {column} END)"


@compiles(_Pairs, "postgresql")
def _pairs(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"json_each_text(CASE WHEN json_typeof({column}) = 'object' THEN {column} END)"


@compiles(_Entries, "postgresql")
def _entries(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"json_array_elements_text(CASE WHEN json_typeof({column}) = 'array' THEN {column} END)"


class _Readable(FunctionElement[Any]):
    inherit_cache = True


@compiles(_Readable)
def _valid(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column = compiler.process(element.clauses, **kw)
    return f"CASE WHEN json_valid({column}) THEN {column} END"


@compiles(_Readable, "postgresql")
def _as_it_is(element: FunctionElement[Any], compiler: Any, **kw: Any) -> str:
    column: str = compiler.process(element.clauses, **kw)
    return column


def value(column: sa.ColumnElement[Any], key: str) -> Any:
    """What the column's object has under this key; NULL where the column holds no JSON."""
    return sa.type_coerce(_Readable(column), sa.JSON)[key]

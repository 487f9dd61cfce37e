"""A column that has one of several words, as one parameter: a statement is the same however many there are.

``column.in_(words)`` has a parameter for each word. So SQLAlchemy writes the statement anew each time that it
runs, and PostgreSQL prepares one for each number of words. Where a statement runs often its words are a list.
"""

from collections.abc import Collection
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class _Words(TypeDecorator[Collection[str]]):
    """An array; on SQLite, which has none, a list in JSON."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that a database has for it."""
        return dialect.type_descriptor(sa.ARRAY(sa.String) if dialect.name == "postgresql" else sa.Text())

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> Any:
        """The words as the driver is given them."""
        words = [str(word) for word in value or ()]
        return words if dialect.name == "postgresql" else orjson.dumps(words).decode()


class _Compared(FunctionElement[bool]):
    inherit_cache = True
    type = sa.Boolean()

    def self_group(self, against: object = None) -> "_Compared":  # noqa: ARG002
        """As it is: else it would be compared with 1 where booleans are numbers, which no index helps with."""
        return self


class _AnyOf(_Compared):
    inherit_cache = True


class _NoneOf(_Compared):
    inherit_cache = True


def any_of(column: sa.ColumnElement[Any], words: str | Collection[str]) -> sa.ColumnElement[bool]:
    """The column has one of these words; ``words`` is the parameter's name, or the words themselves."""
    return _AnyOf(column, _parameter(words))


def none_of(column: sa.ColumnElement[Any], words: str | Collection[str]) -> sa.ColumnElement[bool]:
    """The column has another word than these."""
    return _NoneOf(column, _parameter(words))


def _parameter(words: str | Collection[str]) -> sa.BindParameter[Collection[str]]:
    if isinstance(words, str):
        return sa.bindparam(words, type_=_Words())
    return sa.bindparam("words", sorted(words), type_=_Words(), unique=True)


@compiles(_AnyOf, "sqlite")
def _in_list(element: _Compared, compiler: Any, **kw: Any) -> str:
    return "{} IN (SELECT value FROM json_each({}))".format(*_sides(element, compiler, kw))  # noqa: S608


@compiles(_NoneOf, "sqlite")
def _not_in_list(element: _Compared, compiler: Any, **kw: Any) -> str:
    return "{} NOT IN (SELECT value FROM json_each({}))".format(*_sides(element, compiler, kw))  # noqa: S608


@compiles(_AnyOf, "postgresql")
def _any(element: _Compared, compiler: Any, **kw: Any) -> str:
    return "{} = ANY ({})".format(*_sides(element, compiler, kw))


@compiles(_NoneOf, "postgresql")
def _not_any(element: _Compared, compiler: Any, **kw: Any) -> str:
    return "{} <> ALL ({})".format(*_sides(element, compiler, kw))


def _sides(element: _Compared, compiler: Any, kw: dict[str, Any]) -> list[str]:
    return [compiler.process(clause.self_group(operators.eq), **kw) for clause in element.clauses]

"""What begins with some characters, in words that an index can answer on every database.

LIKE cannot: where the pattern is a parameter neither database may use an index for it.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _Between(FunctionElement[bool]):
    inherit_cache = True
    type = sa.Boolean()

    def self_group(self, against: object = None) -> "_Between":  # noqa: ARG002 (the base's)
        """This condition, unchanged: compared with true, which SQLite does not know, it would use no index."""
        return self


def begins_with(column: sa.ColumnElement[Any], characters: str) -> sa.ColumnElement[bool]:
    """Whether a value begins with these, of which there is at least one, character by character.

    On PostgreSQL the index is to have ``varchar_pattern_ops``, which orders without regard to the language.
    """
    after = characters[:-1] + chr(ord(characters[-1]) + 1)
    return _Between(column, sa.literal(characters, sa.String), sa.literal(after, sa.String))


@compiles(_Between)
def _on_sqlite(element: FunctionElement[bool], compiler: Any, **kw: Any) -> str:
    column, first, after = (compiler.process(each, **kw) for each in element.clauses)
    return f"({column} >= {first} AND {column} < {after})"


@compiles(_Between, "postgresql")
def _on_postgresql(element: FunctionElement[bool], compiler: Any, **kw: Any) -> str:
    column, first, after = (compiler.process(each, **kw) for each in element.clauses)
    return f"({column} ~>=~ {first} AND {column} ~<~ {after})"

"""Rows as the values of ``model``: a table read through a dataclass whose fields are columns' names.

And many rows written by one statement, whether they are new or not.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult

from pumice.store.database import Transaction

T = TypeVar("T")


class Rows(Generic[T]):
    """Reads rows of ``table`` as values of ``kind``."""

    def __init__(self, table: sa.FromClause, kind: type[T]) -> None:
        self.kind: Callable[..., T] = kind
        self.columns = [table.c[field.name] for field in fields(kind)]  # type: ignore[arg-type]
        self.select = sa.select(*self.columns)
        self._by_id = self.select.where(table.c[self.columns[0].name] == sa.bindparam("b_id"))

    def get(self, tx: Transaction, key: str) -> T | None:
        """The row whose first column is ``key``."""
        return self.first(tx.execute(self._by_id, {"b_id": key}))

    def first(self, result: CursorResult[Any]) -> T | None:
        """The only row, or None."""
        row = result.first()
        return None if row is None else self.kind(*row)

    def all(self, result: CursorResult[Any]) -> Sequence[T]:
        """Every row."""
        kind = self.kind
        return [kind(*row) for row in result]

    def row(self, value: T) -> dict[str, Any]:
        """The value as the row it is stored in."""
        return {column.name: getattr(value, column.name) for column in self.columns}


def put(
    tx: Transaction,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    keep: Collection[str] = (),
    add: Collection[str] = (),
) -> None:
    """Insert rows, or write them over those with the same key.

    There the columns ``keep`` stay as they are, and to the columns ``add`` is added what is written.
    """
    if tx.connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_into
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_into  # type: ignore[assignment]
    # one statement: if each row were one, heartbeats would be most of what an idle cloud asks
    insert = insert_into(table).values([dict(row) for row in rows])
    key = [column.name for column in table.primary_key]
    said = {name: insert.excluded[name] for name in rows[0] if name not in {*key, *keep}}
    changed = {name: table.c[name] + value if name in add else value for name, value in said.items()}
    tx.execute(insert.on_conflict_do_update(index_elements=key, set_=changed))

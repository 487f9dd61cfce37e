"""Values that cannot be read, wherever they are: no JSON of their column's shape, no time, no number.

They cost nobody but who needs that very value (``columns.py``); here they are found, by one statement.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from pumice.store.columns import Json, Number, Time
from pumice.store.database import Transaction
from pumice.store.tables import metadata


def cells(tx: Transaction) -> Sequence[tuple[str, str, str]]:
    """Table, the row's key, and column of each."""
    return [tuple(row) for row in tx.execute(_BY_DIALECT[tx.connection.dialect.name])]


def _on_sqlite(column: sa.Column[object]) -> sa.ColumnElement[bool] | None:
    if isinstance(column.type, Json):
        is_other = sa.func.json_type(column) != _shape(column.type)
        return sa.or_(~sa.func.json_valid(column), sa.and_(is_other, sa.func.json_type(column) != "null"))
    if isinstance(column.type, Time):
        return sa.func.julianday(column).is_(None)
    if isinstance(column.type, Number | sa.Integer | sa.Float | sa.Boolean):
        return sa.func.typeof(column).not_in(["integer", "real"])
    return None


def _on_postgresql(column: sa.Column[object]) -> sa.ColumnElement[bool] | None:
    """Here a time is a time, and JSON is JSON."""
    if isinstance(column.type, Json):
        return sa.func.json_typeof(column).not_in([_shape(column.type), "null"])
    return None


def _shape(kind: Json) -> str:
    return "array" if kind.shape is list else "object"


_BY_DIALECT = {
    dialect: sa.union_all(
        *(
            sa.select(
                sa.literal(table.name),
                sa.cast(next(iter(table.primary_key)), sa.Text),
                sa.literal(column.name),
            ).where(column.is_not(None), wrong)
            for table in metadata.sorted_tables
            for column in table.columns
            if (wrong := wrong_in(column)) is not None
        )
    )
    for dialect, wrong_in in {"sqlite": _on_sqlite, "postgresql": _on_postgresql}.items()
}

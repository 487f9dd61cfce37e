"""Values that cannot be read: no JSON of their column's shape, no time, no number, no state that there is.

They cost nobody but who needs that very value (``columns.py``); here they are found, by one statement. Of the
operations only those are looked at that have not ended, and the history is not.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.states import (
    AttachStatus,
    BackupStatus,
    GroupSnapshotStatus,
    GroupStatus,
    ImageBaseStatus,
    ServerStatus,
    SnapshotStatus,
    VolumeStatus,
)
from pumice.store.columns import Json, Number, Time
from pumice.store.database import Transaction
from pumice.store.operations import ENDED, UNDER_WAY
from pumice.store.tables import (
    attachments,
    backups,
    group_snapshots,
    groups,
    image_bases,
    metadata,
    operations,
    servers,
    snapshots,
    volumes,
)

_URLS = {"sqlite": "sqlite://", "postgresql": "postgresql+asyncpg://"}
_HISTORY = {"operation_lines", "tokens", "commits", "tombstones"}
_STATES: Mapping[sa.Column[Any], Iterable[str]] = {
    operations.c.state: (*UNDER_WAY, *ENDED),
    volumes.c.status: VolumeStatus,
    snapshots.c.status: SnapshotStatus,
    backups.c.status: BackupStatus,
    groups.c.status: GroupStatus,
    image_bases.c.status: ImageBaseStatus,
    group_snapshots.c.status: GroupSnapshotStatus,
    attachments.c.status: AttachStatus,
    servers.c.status: ServerStatus,
}


def cells(tx: Transaction) -> Sequence[tuple[str, str, str]]:
    """Table, the row's key, and column of each."""
    return [tuple(row) for row in tx.execute(_statement(tx.connection.dialect.name))]


def _wrong(dialect: str, column: sa.Column[object]) -> sa.ColumnElement[bool] | None:
    if column in _STATES:
        return column.not_in([str(word) for word in _STATES[column]])
    wrong = _on_sqlite(column) if dialect == "sqlite" else _on_postgresql(column)
    if wrong is not None and column.table is operations:
        return sa.and_(operations.c.state.not_in(ENDED), wrong)
    return wrong


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
    """What is malformed in a column on PostgreSQL, where a time is a time, and JSON is JSON."""
    if isinstance(column.type, Json):
        return sa.func.json_typeof(column).not_in([_shape(column.type), "null"])
    return None


def _shape(kind: Json) -> str:
    return "array" if kind.shape is list else "object"


@functools.cache
def _statement(dialect: str) -> sa.TextClause:
    """As text: to build it takes longer than to run it, and what SQLAlchemy keeps of it are megabytes."""
    every = sa.union_all(
        *(
            sa.select(
                sa.literal(str(table.name), sa.Text),
                sa.cast(key, sa.Text),
                sa.literal(str(column.name), sa.Text),
            ).where(column.is_not(None), wrong)
            for table in metadata.sorted_tables
            if table.name not in _HISTORY
            for key in list(table.primary_key)[:1]
            for column in table.columns
            if (wrong := _wrong(dialect, column)) is not None
        )
    )
    its = sa.make_url(_URLS[dialect]).get_dialect()()
    words = every.compile(dialect=its, compile_kwargs={"literal_binds": True})
    return sa.text(str(words).replace(":", "\\:"))

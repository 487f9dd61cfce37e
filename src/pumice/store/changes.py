"""What a transaction tells of the things whose rows it wrote, for those who wait until one changes.

Every statement of ours passes ``Transaction.execute``, and that asks here: so no writer of a row can forget to
tell. A thing's topic is its id. What shows a thing beside itself (a volume its group's members, a backup that
another is based on) is told by the column that names it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators

from pumice.store import tables as t

CHANGED = "changed "
"""How the topic of a thing that changed begins; its id follows."""

TOLD: Mapping[sa.Table, tuple[str, ...]] = {
    t.volumes: ("id", "group_id"),
    t.snapshots: ("id", "group_snapshot_id"),
    t.backups: ("id", "parent_id"),
    t.groups: ("id",),
    t.group_snapshots: ("id",),
    t.attachments: ("id", "volume_id"),
    t.servers: ("id",),
    t.images: ("id",),
    t.image_members: ("image_id",),
}
"""The columns by which the rows of a table name what they are shown in.

Disks of servers are written by other keys, and operations also by who claims them, which nobody is shown: their
files tell by themselves.
"""


def changed(thing_id: str) -> str:
    """The topic that is notified when this thing is shown otherwise than before."""
    return CHANGED + thing_id


def told(statement: Any, parameters: Any) -> list[str]:
    """The topics of what a statement writes; none for one that reads, or writes what nobody waits for.

    One that does not say whose rows it writes is told as whatever it might be: the topic ``MISSED``.
    """
    names = TOLD.get(statement.table)
    if names is None:
        return []
    rows = parameters if isinstance(parameters, Sequence) else [parameters or {}]
    ids = {key for row in rows for key in _keys(statement, names, row) if isinstance(key, str)}
    return [changed(key) for key in ids] or [""]


def _keys(statement: Any, names: tuple[str, ...], row: Mapping[str, Any]) -> Iterator[Any]:
    """What a statement and one row of its parameters say of the columns ``names``."""
    yield from (row.get(name) for name in names)
    if statement.is_insert:
        return
    clause = statement.whereclause
    for term in clause.clauses if isinstance(clause, sa.sql.elements.BooleanClauseList) else [clause]:
        column, value = getattr(term, "left", None), getattr(term, "right", None)
        is_of_row = isinstance(column, sa.Column) and column.table is statement.table and column.name in names
        if is_of_row and isinstance(value, sa.sql.elements.BindParameter) and term.operator is operators.eq:
            yield row.get(value.key, value.value)

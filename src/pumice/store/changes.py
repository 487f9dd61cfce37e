"""What a transaction tells of the things whose rows it wrote, for those who wait until one changes.

Every statement of ours passes ``Transaction.execute``, and that asks here: so no writer of a row can forget to
tell. A thing's topic is its id. What shows a thing beside itself (a volume its group's members, a backup that
another is based on) is told by the column that names it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators

from pumice.store.tables import metadata

CHANGED = "changed "
"""How the topic of a thing that changed begins; its id follows."""

TOLD: Mapping[sa.Table, tuple[str, ...]] = {
    table: table.info["tells"] for table in metadata.tables.values() if "tells" in table.info
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
    binds = () if statement.is_insert else _binds(statement)
    ids = set()
    for row in parameters if isinstance(parameters, list) else [parameters or {}]:
        ids |= {row.get(name) for name in names}
        ids |= {row.get(key, value) for key, value in binds}
    return [changed(key) for key in ids if isinstance(key, str)] or [""]


@lru_cache(maxsize=256)
def _binds(statement: Any) -> tuple[tuple[str, Any], ...]:
    """The parameters, with their values where they are written in it, by which a statement names its rows."""
    clause, names = statement.whereclause, TOLD[statement.table]
    terms = clause.clauses if isinstance(clause, sa.sql.elements.BooleanClauseList) else [clause]
    return tuple(
        (term.right.key, term.right.value)
        for term in terms
        if isinstance(term, sa.sql.elements.BinaryExpression)
        and term.operator is operators.eq
        and isinstance(term.left, sa.Column)
        and term.left.table is statement.table
        and term.left.name in names
        and isinstance(term.right, sa.sql.elements.BindParameter)
    )

"""The operation log as tenants may read it: their own project's, an administrator everybody's."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from pumice.model.logged import LoggedOperation
from pumice.store.database import Transaction
from pumice.store.tables import operation_lines, operations
from pumice.store.tenant_rows import TenantRows

_o, _l = operations.c, operation_lines.c
_rows = TenantRows(operations, LoggedOperation, "Operation")

visible = _rows.visible
page = _rows.page

COLUMNS = frozenset({"id", "kind", "subject", "state", "created_at", "finished_at", "parent_id"})
"""What a list may be sorted by."""


def is_(name: str, value: str) -> sa.ColumnElement[bool]:
    """The condition that a column has this value; the states are told apart as people are told them."""
    if name == "state" and value == "cleaning":
        return sa.and_(_o.state == "undoing", _o.settled.is_(True))
    if name == "state" and value == "undoing":
        return sa.and_(_o.state == "undoing", _o.settled.is_(False))
    condition: sa.ColumnElement[bool] = _o[name] == value
    return condition


_later = (
    sa.select(
        *(_l.number, _l.operation_id, _l.step, _l.direction, _l.outcome, _l.started_at, _l.seconds),
        *(_o.kind, _o.subject, _o.project_id),
    )
    .join(operations, _o.id == _l.operation_id)
    .where(_l.number > sa.bindparam("after"))
    .order_by(_l.number)
    .limit(sa.bindparam("most"))
)
_last = sa.select(sa.func.max(_l.number))


def lines_after(tx: Transaction, number: int, most: int) -> list[Mapping[str, Any]]:
    """The lines of all operations behind this one, in the order of their numbers."""
    return [dict(row) for row in tx.execute(_later, {"after": number, "most": most}).mappings()]


def last_line(tx: Transaction) -> int:
    """The number of the newest line; 0 where there is none."""
    return int(tx.execute(_last).scalar() or 0)

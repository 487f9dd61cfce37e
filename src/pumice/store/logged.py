"""The operation log as tenants may read it: their own project's, an administrator everybody's."""

import time
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
FEW = frozenset({"subject", "volume_id", "parent_id"})
"""What few operations have in common."""


def is_(name: str, value: str) -> sa.ColumnElement[bool]:
    """The condition that a column has this value; states are told apart as people are told them.

    A subject may be one of several, with commas between them. Of a volume are also the operations on what it
    has or had: attachments, snapshots, backups.
    """
    if name == "volume_id":
        return sa.or_(_o.subject == value, _o.volume_id == value)
    if name == "subject":
        return _o.subject.in_(value.split(","))
    if name == "state" and value == "cleaning":
        return sa.and_(_o.state == "undoing", _o.settled.is_(True))
    if name == "state" and value == "undoing":
        return sa.and_(_o.state == "undoing", _o.settled.is_(False))
    condition: sa.ColumnElement[bool] = _o[name] == value
    return condition


START, END, ERROR = "start", "end", "error"
"""The outcomes that tell of a whole operation: it has begun, it has ended well, or not."""


def _part(number: sa.Column[int], *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """One of the three kinds of what is in the log, in the order of its numbers."""
    names = ("operation_id", "step", "direction", "outcome", "started_at", "error")
    told = [column.label(name) for name, column in zip(names, columns, strict=True)]
    query = sa.select(number.label("number"), *told, _o.kind, _o.subject, _o.project_id)
    return query.where(number > sa.bindparam("after")).order_by(number).limit(sa.bindparam("most"))


_lines = _part(_l.number, _l.operation_id, _l.step, _l.direction, _l.outcome, _l.started_at, sa.null())
_beginnings = _part(
    _o.began_number,
    *(_o.id, sa.literal(""), sa.literal("do"), sa.literal(START), _o.created_at, sa.null()),
)
_ends = _part(
    _o.ended_number,
    *(_o.id, sa.literal(""), sa.literal("do"), sa.case((_o.state == "done", END), else_=ERROR)),
    *(sa.func.coalesce(_o.settled_at, _o.created_at), sa.case((_o.state != "done", _o.error))),
)
_parts = [
    part.subquery().select() for part in (_lines.join(operations, _o.id == _l.operation_id), _beginnings, _ends)
]
_later = sa.union_all(*_parts).order_by("number").limit(sa.bindparam("most"))
_last = sa.select(
    *(
        sa.select(sa.func.max(number)).scalar_subquery()
        for number in (_l.number, _o.began_number, _o.ended_number)
    )
)


def lines_after(tx: Transaction, number: int, most: int) -> list[Mapping[str, Any]]:
    """What is in the log behind this number, in its order: beginnings, lines and ends of all operations."""
    return [dict(row) for row in tx.execute(_later, {"after": number, "most": most}).mappings()]


def last_line(tx: Transaction) -> int:
    """The newest number; 0 where there is none."""
    return max(number or 0 for number in tx.execute(_last).one())


SETTLE_SECONDS = 0.25
"""How long a transaction may take from its first number until the database knows of it."""


class Settled:
    """Tells up to which number the log is whole: no smaller one will be seen any more."""

    def __init__(self) -> None:
        self.number = 0
        self.is_all = True
        """Whether that was the newest."""
        self._waiting: tuple[float, int, int] | None = None
        """Since when, for which transactions, and up to which number."""

    def look(self, tx: Transaction) -> int:
        """The number now."""
        newest = last_line(tx)
        if tx.connection.dialect.name != "postgresql":
            self.number = newest
            return newest
        oldest, following = tuple(tx.execute(_under_way).one())
        if (
            self._waiting
            and oldest >= self._waiting[1]
            and time.monotonic() >= self._waiting[0] + SETTLE_SECONDS
        ):
            self.number, self._waiting = self._waiting[2], None
        if self._waiting is None and newest > self.number:
            self._waiting = time.monotonic(), following, newest
        self.is_all = self._waiting is None
        return self.number


_under_way = sa.text(
    "SELECT pg_snapshot_xmin(it)::text::bigint, pg_snapshot_xmax(it)::text::bigint "
    "FROM pg_current_snapshot() AS it"
)

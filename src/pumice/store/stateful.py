"""Rows that have a state, and may be held by an operation: all things of ``model/states.py`` but images.

When a move changes nothing, the row is read again to explain why; two that race for one thing can therefore not
both win.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from pumice.model.errors import Conflict, InvalidState, NotFound
from pumice.model.scope import Scope
from pumice.model.states import S, Transitions
from pumice.store.beginning import begins_with
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.moves import Moves
from pumice.store.tenant_rows import Owned, TenantRows


class Stateful(Owned, Protocol):
    """A value that has a state."""

    @property
    def status(self) -> str:
        """The state."""


T = TypeVar("T", bound=Stateful)


class StatefulRows(TenantRows[T], Moves):
    """The rows of ``table``, whose moves are those of ``transitions``."""

    def __init__(self, table: sa.Table, kind: type[T], what: str, transitions: Transitions[Any]) -> None:
        TenantRows.__init__(self, table, kind, what)
        Moves.__init__(self, table, transitions)
        holder = table.c.operation_id
        self._by_holder = self.by_id.where(holder == sa.bindparam("b_operation"))
        self._unheld = self.by_id.where(holder.is_(None))

    def move(
        self,
        tx: Transaction,
        key: str,
        start: Collection[S],
        end: S,
        refusal: Callable[[T], InvalidState],
        *,
        statement: sa.Update | None = None,
        **changes: Any,
    ) -> None:
        """``try_to_move``. Raises ``NotFound``, or what ``refusal`` makes of the row that was not moved."""
        if self.try_to_move(tx, key, start, end, statement=statement, **changes):
            return
        row = self.get(tx, key)
        if row is None:
            raise NotFound(self.what, key)
        raise refusal(row)

    def change(self, tx: Transaction, key: str, **changes: Any) -> None:
        """Write columns other than the status."""
        assert "status" not in changes
        tx.send(self.by_id, {"b_id": key, "updated_at": now()} | changes)

    def settle(
        self, tx: Transaction, key: str, operation_id: str, *, status: Any = None, **changes: Any
    ) -> bool:
        """Write what an operation came to, perhaps another state, and let go of the row.

        False, and nothing is written, when that operation does not hold it any more.
        """
        assert status is None or self.transitions.ends_in(status), f"nothing comes to {status} by itself"
        arrival = {"updated_at": now()} if status is None else self.arrival(status)
        values = {"b_id": key, "b_operation": operation_id, "operation_id": None} | arrival | changes
        return bool(tx.execute(self._by_holder, values).rowcount)

    def put(self, tx: Transaction, key: str, status: Any, **changes: Any) -> bool:
        """Give a row a state because an administrator says so. False while an operation holds it.

        It is not known for anybody, so it has no age there.
        """
        age = {"moved_at": None} if self._has_age else {}
        values = {"b_id": key, "status": status, "updated_at": now()} | age | changes
        return bool(tx.execute(self._unheld, values).rowcount)

    def overrule(self, tx: Transaction, who: Scope, key: str, status: Any) -> T:
        """``put`` for a row that the caller sees, and what it was.

        Raises ``NotFound``, or ``Conflict`` while it is held.
        """
        row = self.visible(tx, who, key)
        if not self.put(tx, key, status):
            raise Conflict(f"{self.what} {key} is {row.status}: an operation holds it, and ends by itself.")
        return row

    def count(
        self,
        tx: Transaction,
        who: Scope,
        *,
        all_projects: bool = False,
        filters: Iterable[sa.ColumnElement[bool]] = (),
    ) -> int:
        """How many rows a list has on all its pages."""
        query = sa.select(sa.func.count()).select_from(self.table)
        return int(tx.execute(query.where(*self.seen(who, all_projects), *filters)).scalar_one())

    def total(
        self,
        tx: Transaction,
        who: Scope,
        *,
        all_projects: bool = False,
        filters: Iterable[sa.ColumnElement[bool]] = (),
    ) -> tuple[int, int]:
        """How many rows a list has on all its pages, and their sizes' sum in GiB."""
        size = sa.func.coalesce(sa.func.sum(self.table.c.size), 0)
        query = sa.select(sa.func.count().label("number"), size.label("size"))
        row = tx.execute(query.where(*self.seen(who, all_projects), *filters)).one()
        return row.number, row.size

    def by_project(self, tx: Transaction, host: str) -> dict[str, tuple[int, int]]:
        """Number and GiB of each project's rows on ``host@backend``."""
        columns = self.table.c
        number, size = sa.func.count().label("number"), sa.func.sum(columns.size).label("size")
        query = sa.select(columns.project_id, number, size).group_by(columns.project_id)
        here = begins_with(columns.pool, f"{host}#"), *self._out_of_bin()
        return {row.project_id: (row.number, row.size) for row in tx.execute(query.where(*here))}

"""Moves of rows from state to state, of any table: one conditional UPDATE that names where it may start."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from pumice.model.states import S, Transitions
from pumice.store.any_of import any_of
from pumice.store.columns import now
from pumice.store.database import Transaction


class Moves:
    """What ``transitions`` allows to rows of ``table``, and nothing else."""

    def __init__(self, table: sa.Table, transitions: Transitions[Any]) -> None:
        self.transitions = transitions
        self.by_id = sa.update(table).where(table.c.id == sa.bindparam("b_id"))
        self.by_status = self.by_id.where(any_of(table.c.status, "b_start"))
        self._has_age = "moved_at" in table.c

    def try_to_move(
        self,
        tx: Transaction,
        key: str,
        start: Collection[S],
        end: S,
        *,
        statement: sa.Update | None = None,
        **changes: Any,
    ) -> bool:
        """Move a row from one of the states ``start`` to ``end`` and write ``changes`` with it.

        ``statement`` is ``by_status`` with further conditions. False, and nothing is written, where the row
        was not as that says, or is not there.
        """
        assert all(self.transitions.may_move(state, end) for state in start), f"no move to {end}"
        values = {"b_id": key, "b_start": sorted(start)} | self.arrival(end) | changes
        return bool(tx.execute(self.by_status if statement is None else statement, values).rowcount)

    def arrival(self, status: Any) -> dict[str, Any]:
        """The columns that are written when a row comes to a state."""
        at = now()
        return {"status": status, "updated_at": at} | ({"moved_at": at} if self._has_age else {})

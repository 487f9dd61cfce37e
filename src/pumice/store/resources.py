"""Rows that are no more than what was written down: groups; the catalog's regions, services and endpoints.

Each kind is read, listed by values of its columns, added, changed and removed in the same way.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import NotFound
from pumice.store.database import Transaction
from pumice.store.tables import catalog_services, endpoints, regions, user_groups
from pumice.store.taken import refused_as
from pumice.store.tokens import CHANGED

Row = sa.RowMapping


class Resources:
    """The rows of one kind."""

    def __init__(self, kind: str, table: sa.Table, order: str) -> None:
        self.kind = kind
        self._table = table
        self._order = table.c[order], table.c.id
        self._by_id = sa.select(table).where(table.c.id == sa.bindparam("b_id"))

    def show(self, tx: Transaction, resource_id: str) -> Row:
        """The row of a resource. Raises ``NotFound``."""
        row = tx.execute(self._by_id, {"b_id": resource_id}).mappings().one_or_none()
        if row is None:
            raise NotFound(self.kind, resource_id)
        return row

    def matching(self, tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
        """The rows whose columns have these values, in their order."""
        same = (self._table.c[column] == value for column, value in wanted.items())
        return tx.execute(sa.select(self._table).where(*same).order_by(*self._order)).mappings().all()

    def add(self, tx: Transaction, row: Mapping[str, Any]) -> Row:
        """Add one. Raises ``Conflict`` for an id or a name that is taken."""
        with refused_as(self._is_taken(row.get("name") or row["id"])):
            tx.execute(sa.insert(self._table), dict(row))
        return self.show(tx, row["id"])

    def change(
        self, tx: Transaction, resource_id: str, values: Mapping[str, Any], extra: Mapping[str, Any]
    ) -> Row:
        """Change columns of one, and keys of its ``extra``. Raises ``NotFound``, or ``Conflict`` for a name."""
        before = self.show(tx, resource_id)
        changed = sa.update(self._table).where(self._table.c.id == resource_id)
        with refused_as(self._is_taken(values.get("name"))):
            tx.execute(changed.values({**values, "extra": {**before["extra"], **extra}}))
        return self.show(tx, resource_id)

    def remove(self, tx: Transaction, resource_id: str) -> None:
        """Remove one with what cannot be without it. Raises ``NotFound``."""
        self.show(tx, resource_id)
        tx.execute(sa.delete(self._table).where(self._table.c.id == resource_id))
        tx.notify(CHANGED)

    def _is_taken(self, name: Any) -> str:
        return f"A {self.kind.lower()} named '{name}' exists already."


GROUPS = Resources("Group", user_groups, "name")
REGIONS = Resources("Region", regions, "id")
SERVICES = Resources("Service", catalog_services, "type")
ENDPOINTS = Resources("Endpoint", endpoints, "service_id")

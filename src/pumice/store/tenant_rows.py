"""Rows that belong to a project: the one judge of who sees them, alone and in lists.

What is in the recycle bin nobody sees, but by the bin's own rows (``recycle_bin.py``).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.store.database import Transaction
from pumice.store.paging import after, order
from pumice.store.rows import Rows


class Owned(Protocol):
    """A value that belongs to a project."""

    @property
    def project_id(self) -> str:
        """The project."""


T = TypeVar("T", bound=Owned)


class TenantRows(Rows[T]):
    """Reads the rows of ``table`` that a caller may see; ``what`` they are called when one is not found."""

    def __init__(self, table: sa.FromClause, kind: type[T], what: str, *, in_bin: bool = False) -> None:
        super().__init__(table, kind)
        self.table = table
        self.what = what
        self._recycled_at = None if in_bin else table.c.get("recycled_at")

    def visible(self, tx: Transaction, who: Scope, key: str) -> T:
        """A row that the caller may see. Raises ``NotFound``."""
        return self.shown(who, key, self.get(tx, key))

    def shown(self, who: Scope, key: str, found: T | None) -> T:
        """What was ``found`` under a key, if the caller may see it. Raises ``NotFound``."""
        if found is None or self._hides(found) or not (who.is_admin or found.project_id == who.project_id):
            raise NotFound(self.what, key)
        return found

    def _hides(self, found: T) -> bool:
        """Whether it is in the recycle bin, where only the bin's own rows show it."""
        return self._recycled_at is not None and getattr(found, "recycled_at", None) is not None

    def _out_of_bin(self) -> Sequence[sa.ColumnElement[bool]]:
        """What narrows a list to the rows that are not in the recycle bin."""
        return () if self._recycled_at is None else (self._recycled_at.is_(None),)

    def below(self, parent: sa.Table, link: sa.Column[str]) -> sa.Select[Any]:
        """Reads the rows whose ``link`` names a row of ``parent``, if both are the same project's.

        What is given to another project may leave behind what was made of it: that stays its maker's.
        """
        owner = self.table.c.project_id == parent.c.project_id
        return self.select.join(parent, sa.and_(parent.c.id == link, owner))

    def seen(self, who: Scope, all_projects: bool) -> Sequence[sa.ColumnElement[bool]]:
        """What narrows a list to the rows the caller sees: an administrator who asks for it sees all."""
        if all_projects and who.is_admin:
            return self._out_of_bin()
        return (self.table.c.project_id == who.project_id, *self._out_of_bin())

    def page(
        self,
        tx: Transaction,
        who: Scope,
        *,
        limit: int,
        marker: str | None,
        sort: Sequence[tuple[str, bool]],
        offset: int = 0,
        all_projects: bool = False,
        filters: Iterable[sa.ColumnElement[bool]] = (),
        few: bool = False,
    ) -> Sequence[T]:
        """A page of those the caller may see. Raises ``NotFound`` for a marker that does not exist.

        Costs the same wherever the page begins: the marker's row says where to go on. ``few``: the filters
        leave few, and have indexes; SQLite, which counts nothing, would look through all of the project's.
        """
        columns = self.table.c
        seen = self.seen(who, all_projects)
        if few and tx.connection.dialect.name == "sqlite":
            seen = [sa.case((condition, 1), else_=0) == 1 for condition in seen]
        query = self.select.where(*seen, *filters)
        keys = [(columns[name], ascending) for name, ascending in sort]
        keys.append((columns.id, keys[-1][1]))
        if marker:
            query = query.where(after(self.visible(tx, who, marker), keys))
        return self.all(tx.execute(query.order_by(*order(keys)).limit(limit).offset(offset or None)))

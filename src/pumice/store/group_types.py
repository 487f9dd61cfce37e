"""Types of groups: every read and write of their rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import NotFound
from pumice.model.group import OLDER_TYPE, GroupType
from pumice.model.scope import Scope
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import Rows
from pumice.store.tables import group_types

_g = group_types.c
_rows = Rows(group_types, GroupType)

OLDER = sa.select(_g.id).where(_g.name == OLDER_TYPE)
"""The id of the type of consistency groups, as a subquery."""


def get(tx: Transaction, who: Scope, type_id: str) -> GroupType:
    """A type by its id that the caller may use. Raises ``NotFound``."""
    found = _rows.get(tx, type_id)
    if found is None or not (found.is_public or who.is_admin):
        raise NotFound("Group type", type_id)
    return found


def named(tx: Transaction, name: str) -> GroupType | None:
    """The type of this name."""
    return _rows.first(tx.execute(_rows.select.where(_g.name == name)))


def every(tx: Transaction, is_public: bool | None) -> Sequence[GroupType]:
    """All types by their ids, or those that are public, or those that are not."""
    wanted = sa.true() if is_public is None else _g.is_public.is_(is_public)
    return _rows.all(tx.execute(_rows.select.where(wanted).order_by(_g.id)))


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a group type."""
    tx.execute(sa.insert(group_types), {"created_at": now(), **row})


def change(tx: Transaction, type_id: str, **changes: Any) -> None:
    """Write columns of a type."""
    tx.execute(sa.update(group_types).where(_g.id == type_id).values(updated_at=now(), **changes))


def delete(tx: Transaction, type_id: str) -> None:
    """Forget a type that no group has."""
    tx.execute(sa.delete(group_types).where(_g.id == type_id))

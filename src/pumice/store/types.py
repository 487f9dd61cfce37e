"""Volume types and who may use the private ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.model.volume import VolumeType
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import Rows
from pumice.store.tables import default_types, snapshots, type_access, volume_types, volumes

_t = volume_types.c
_rows = Rows(volume_types, VolumeType)
_default_of = sa.select(default_types.c.type_id).where(default_types.c.project_id == sa.bindparam("b_project"))
_named = sa.or_(_t.id == sa.bindparam("b_id"), _t.name == sa.bindparam("b_id"))
_by_name_or_id = _rows.select.where(_named)
_default_or_by_name_or_id = _rows.select.where(sa.or_(_t.id == _default_of.scalar_subquery(), _named))


def find(tx: Transaction, who: Scope, name_or_id: str) -> VolumeType:
    """A type by its id or name that the caller may use. Raises ``NotFound``."""
    return _usable(tx, who, _rows.all(tx.execute(_by_name_or_id, {"b_id": name_or_id})), name_or_id)


def find_default(tx: Transaction, who: Scope, otherwise: str) -> VolumeType:
    """The type of the project's volumes that name none: its own default, else ``otherwise``, a name or an id.

    Raises ``NotFound``.
    """
    asked = {"b_project": who.project_id, "b_id": otherwise}
    found = _rows.all(tx.execute(_default_or_by_name_or_id, asked))
    own = [kind for kind in found if otherwise not in (kind.id, kind.name)]
    return _usable(tx, who, own or found, otherwise)


def _usable(tx: Transaction, who: Scope, found: Sequence[VolumeType], name_or_id: str) -> VolumeType:
    for kind in sorted(found, key=lambda kind: kind.id != name_or_id):
        if kind.is_public or who.is_admin or who.project_id in projects_with_access(tx, kind.id):
            return kind
    raise NotFound("Volume type", name_or_id)


def get(tx: Transaction, type_id: str) -> VolumeType | None:
    """A type by its id, for Pumice's own work."""
    return _rows.get(tx, type_id)


def named(tx: Transaction, name: str) -> bool:
    """Whether there is a type of this name."""
    return tx.execute(sa.select(_t.id).where(_t.name == name)).first() is not None


def is_used(tx: Transaction, type_id: str) -> bool:
    """Whether a volume or a snapshot has the type."""
    return any(
        tx.execute(sa.select(table.c.id).where(table.c.type_id == type_id).limit(1)).first()
        for table in (volumes, snapshots)
    )


def has_volumes(tx: Transaction, type_id: str) -> bool:
    """Whether a volume has the type."""
    return tx.execute(sa.select(volumes.c.id).where(volumes.c.type_id == type_id).limit(1)).first() is not None


def names(tx: Transaction) -> dict[str, str]:
    """Every type's name by its id."""
    return {row.id: row.name for row in tx.execute(sa.select(_t.id, _t.name))}


def visible(tx: Transaction, who: Scope, is_public: bool | None = None) -> Sequence[VolumeType]:
    """The types the caller may use, by their ids; an administrator's may be narrowed by ``is_public``."""
    query = _rows.select.order_by(_t.id)
    if not who.is_admin:
        mine = sa.select(type_access.c.type_id).where(type_access.c.project_id == who.project_id)
        query = query.where(sa.or_(_t.is_public, _t.id.in_(mine)))
    if is_public is not None:
        query = query.where(_t.is_public.is_(is_public))
    return _rows.all(tx.execute(query))


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a volume type."""
    tx.execute(sa.insert(volume_types), {"created_at": now(), **row})


def change(tx: Transaction, type_id: str, **changes: Any) -> None:
    """Write columns of a type."""
    tx.execute(sa.update(volume_types).where(_t.id == type_id).values(updated_at=now(), **changes))


def delete(tx: Transaction, type_id: str) -> None:
    """Forget a type that no volume has."""
    tx.execute(sa.delete(volume_types).where(_t.id == type_id))


def projects_with_access(tx: Transaction, type_id: str) -> set[str]:
    """The projects that may use a private type."""
    rows = tx.execute(sa.select(type_access.c.project_id).where(type_access.c.type_id == type_id))
    return set(rows.scalars())


def add_access(tx: Transaction, type_id: str, project_id: str) -> None:
    """Let a project use a private type."""
    tx.execute(sa.insert(type_access), {"type_id": type_id, "project_id": project_id})


def remove_access(tx: Transaction, type_id: str, project_id: str) -> bool:
    """Let a project no longer use a private type. False when it could not before."""
    a = type_access.c
    return bool(
        tx.execute(sa.delete(type_access).where(a.type_id == type_id, a.project_id == project_id)).rowcount
    )


def default_of(tx: Transaction, project_id: str | None) -> str | None:
    """The type that a project's volumes have when they name none, if it has one of its own."""
    found: str | None = tx.execute(_default_of, {"b_project": project_id}).scalar()
    return found


def defaults(tx: Transaction) -> Mapping[str, str]:
    """Every project's own default type, by project."""
    rows = tx.execute(sa.select(default_types).order_by(default_types.c.project_id))
    return {row.project_id: row.type_id for row in rows}


def set_default(tx: Transaction, project_id: str, type_id: str) -> None:
    """Give a project a default type of its own."""
    unset_default(tx, project_id)
    tx.execute(sa.insert(default_types), {"project_id": project_id, "type_id": type_id})


def unset_default(tx: Transaction, project_id: str) -> None:
    """Give a project the installation's default type again."""
    tx.execute(sa.delete(default_types).where(default_types.c.project_id == project_id))

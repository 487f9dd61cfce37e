"""Rows of ``projects``: what owns volumes and servers. Each is read together with its domain."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import domains, projects
from pumice.store.taken import refused_as
from pumice.store.tokens import CHANGED

Row = sa.RowMapping

_p = projects.c
_all = sa.select(
    projects, domains.c.name.label("domain_name"), domains.c.enabled.label("domain_enabled")
).join_from(projects, domains, _p.domain_id == domains.c.id)
_by_id = _all.where(_p.id == sa.bindparam("b_id"))
_by_name = _all.where(
    _p.name == sa.bindparam("b_name"),
    sa.or_(_p.domain_id == sa.bindparam("b_domain_id"), domains.c.name == sa.bindparam("b_domain_name")),
)
_insert = sa.insert(projects)
_update = sa.update(projects).where(_p.id == sa.bindparam("b_id"))
_delete = sa.delete(projects).where(_p.id == sa.bindparam("b_id"))


def get(tx: Transaction, project_id: str) -> Row | None:
    """A project; ``domain_name`` and ``domain_enabled`` tell of its domain."""
    return tx.execute(_by_id, {"b_id": project_id}).mappings().one_or_none()


def named(
    tx: Transaction, name: str, *, domain_id: str | None = None, domain_name: str | None = None
) -> Row | None:
    """The project of this name in the domain of that id or that name."""
    values = {"b_name": name, "b_domain_id": domain_id, "b_domain_name": domain_name}
    return tx.execute(_by_name, values).mappings().one_or_none()


def matching(
    tx: Transaction, wanted: Mapping[str, object], among: Collection[str] | None = None
) -> Sequence[Row]:
    """Projects whose columns have these values, of those ``among`` which to look, by name."""
    query = _all.where(*(_p[column] == value for column, value in wanted.items())).order_by(_p.name, _p.id)
    if among is not None:
        query = query.where(_p.id.in_(list(among)))
    return tx.execute(query).mappings().all()


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a project. Raises ``Conflict`` if its name is taken in its domain."""
    with refused_as(f"A project named '{row['name']}' exists already in this domain."):
        tx.execute(_insert, dict(row))


def update(tx: Transaction, project_id: str, values: Mapping[str, Any]) -> None:
    """Change a project. Raises ``Conflict`` if its new name is taken in its domain."""
    with refused_as(f"A project named '{values.get('name')}' exists already in this domain."):
        tx.execute(_update.values(dict(values)), {"b_id": project_id})
    tx.notify(CHANGED)


def delete(tx: Transaction, project_id: str) -> None:
    """Remove a project's row; what refers to it goes first."""
    tx.execute(_delete, {"b_id": project_id})
    tx.notify(CHANGED)

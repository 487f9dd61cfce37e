"""Rows of ``roles``, and of ``role_assignments``: who has which role on what.

What a role is given on is a pair of a kind (``project``, ``domain``, ``system``) and an id (``all`` for the
system).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import Conflict
from pumice.store.database import Transaction
from pumice.store.tables import domains, projects, role_assignments, roles, users
from pumice.store.tokens import CHANGED

Row = sa.RowMapping
Target = tuple[str, str]
"""A kind (``project``, ``domain``, ``system``) and an id."""

SYSTEM: Target = "system", "all"

_r = roles.c
_a = role_assignments.c
_by_id = sa.select(roles).where(_r.id == sa.bindparam("b_id"))
_by_names = sa.select(roles).where(_r.name.in_(sa.bindparam("names", expanding=True))).order_by(_r.name)
_insert = sa.insert(roles)
_update = sa.update(roles).where(_r.id == sa.bindparam("b_id"))
_delete = sa.delete(roles).where(_r.id == sa.bindparam("b_id"))

_on_target = _a.scope == sa.bindparam("b_scope"), _a.target_id == sa.bindparam("b_target")
_held = (
    sa.select(roles)
    .join_from(role_assignments, roles, _a.role_id == _r.id)
    .where(_a.user_id == sa.bindparam("b_user"), *_on_target)
    .order_by(_r.name)
)
_targets = (
    sa.select(_a.target_id)
    .where(_a.user_id == sa.bindparam("b_user"), _a.scope == sa.bindparam("b_scope"))
    .distinct()
)
_give = sa.insert(role_assignments)
_take = sa.delete(role_assignments).where(
    _a.user_id == sa.bindparam("b_user"), _a.role_id == sa.bindparam("b_role"), *_on_target
)
_take_all = sa.delete(role_assignments).where(*_on_target)

_user_domain = domains.alias("user_domain")
_project_domain = domains.alias("project_domain")
_target_domain = domains.alias("target_domain")
_assignments = (
    sa.select(
        role_assignments,
        _r.name.label("role_name"),
        users.c.name.label("user_name"),
        _user_domain.c.id.label("user_domain_id"),
        _user_domain.c.name.label("user_domain_name"),
        projects.c.name.label("project_name"),
        _project_domain.c.id.label("project_domain_id"),
        _project_domain.c.name.label("project_domain_name"),
        _target_domain.c.name.label("domain_name"),
    )
    .join_from(role_assignments, roles, _a.role_id == _r.id)
    .join(users, _a.user_id == users.c.id)
    .join(_user_domain, users.c.domain_id == _user_domain.c.id)
    .outerjoin(projects, sa.and_(_a.scope == "project", _a.target_id == projects.c.id))
    .outerjoin(_project_domain, projects.c.domain_id == _project_domain.c.id)
    .outerjoin(_target_domain, sa.and_(_a.scope == "domain", _a.target_id == _target_domain.c.id))
    .order_by(_a.user_id, _a.scope, _a.target_id, _r.name)
)


def get(tx: Transaction, role_id: str) -> Row | None:
    """One role."""
    return tx.execute(_by_id, {"b_id": role_id}).mappings().one_or_none()


def named(tx: Transaction, names: Collection[str]) -> Sequence[Row]:
    """The roles of these names, by name; those that do not exist are missing."""
    return tx.execute(_by_names, {"names": list(names)}).mappings().all()


def matching(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Roles whose columns have these values, by name."""
    query = sa.select(roles).where(*(_r[column] == value for column, value in wanted.items()))
    return tx.execute(query.order_by(_r.name)).mappings().all()


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a role. Raises ``Conflict`` if its name is taken."""
    try:
        tx.execute(_insert, dict(row))
    except sa.exc.IntegrityError:
        raise Conflict(f"A role named '{row['name']}' exists already.") from None


def update(tx: Transaction, role_id: str, values: Mapping[str, Any]) -> None:
    """Change a role. Raises ``Conflict`` if its new name is taken."""
    try:
        tx.execute(_update.values(dict(values)), {"b_id": role_id})
    except sa.exc.IntegrityError:
        raise Conflict(f"A role named '{values.get('name')}' exists already.") from None
    tx.notify(CHANGED)


def delete(tx: Transaction, role_id: str) -> None:
    """Remove a role; whoever had it has it no more."""
    tx.execute(_delete, {"b_id": role_id})
    tx.notify(CHANGED)


def held(tx: Transaction, user_id: str, target: Target) -> Sequence[Row]:
    """The roles a user was given on something, by name; without those they imply."""
    values = {"b_user": user_id, "b_scope": target[0], "b_target": target[1]}
    return tx.execute(_held, values).mappings().all()


def targets(tx: Transaction, user_id: str, kind: str) -> Sequence[str]:
    """The ids of the projects (or domains) on which a user has any role."""
    return tx.execute(_targets, {"b_user": user_id, "b_scope": kind}).scalars().all()


def give(tx: Transaction, user_id: str, role_id: str, target: Target) -> None:
    """Give a user a role on something. Whoever has it already keeps it."""
    if any(role["id"] == role_id for role in held(tx, user_id, target)):
        return
    tx.execute(_give, {"user_id": user_id, "role_id": role_id, "scope": target[0], "target_id": target[1]})


def take(tx: Transaction, user_id: str, role_id: str, target: Target) -> bool:
    """Take a role away. False when the user did not have it."""
    values = {"b_user": user_id, "b_role": role_id, "b_scope": target[0], "b_target": target[1]}
    tx.notify(CHANGED)
    return bool(tx.execute(_take, values).rowcount)


def take_all(tx: Transaction, target: Target) -> None:
    """Nobody has a role on this any more."""
    tx.execute(_take_all, {"b_scope": target[0], "b_target": target[1]})
    tx.notify(CHANGED)


def assignments(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Assignments whose columns have these values, with the names of everything they speak of."""
    query = _assignments.where(*(_a[column] == value for column, value in wanted.items()))
    return tx.execute(query).mappings().all()

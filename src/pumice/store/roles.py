"""Rows of ``roles``, of ``role_assignments`` and of ``group_assignments``: who has which role on what.

What a role is given on is a pair of a kind (``project``, ``domain``, ``system``) and an id (``all`` for the
system). Whom it is given to is a pair of a kind (``user``, ``group``) and an id: what a group has, each of its
members has.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.store.any_of import any_of
from pumice.store.database import Transaction
from pumice.store.tables import (
    domains,
    group_assignments,
    group_members,
    projects,
    role_assignments,
    roles,
    user_groups,
    users,
)
from pumice.store.taken import refused_as
from pumice.store.tokens import CHANGED

Row = sa.RowMapping
Target = tuple[str, str]
"""A kind (``project``, ``domain``, ``system``) and an id."""

SYSTEM: Target = "system", "all"

Actor = tuple[str, str]
"""A kind (``user``, ``group``) and an id."""

_r = roles.c
_a = role_assignments.c
_g = group_assignments.c
_by_id = sa.select(roles).where(_r.id == sa.bindparam("b_id"))
_by_names = sa.select(roles).where(any_of(_r.name, "names")).order_by(_r.name)
_insert = sa.insert(roles)
_update = sa.update(roles).where(_r.id == sa.bindparam("b_id"))
_delete = sa.delete(roles).where(_r.id == sa.bindparam("b_id"))

_given = sa.select(_a.user_id, _a.role_id, _a.scope, _a.target_id).union_all(
    sa.select(group_members.c.user_id, _g.role_id, _g.scope, _g.target_id).join_from(
        group_assignments, group_members, _g.group_id == group_members.c.group_id
    )
)
_has = _given.subquery()
"""What each user has, given or through a group."""
_ids_of_user = sa.select(_has.c.role_id).where(
    _has.c.user_id == sa.bindparam("b_user"),
    _has.c.scope == sa.bindparam("b_scope"),
    _has.c.target_id == sa.bindparam("b_target"),
)
_of_user = sa.select(roles).where(_r.id.in_(_ids_of_user)).order_by(_r.name)
_targets = (
    sa.select(_has.c.target_id)
    .where(_has.c.user_id == sa.bindparam("b_user"), _has.c.scope == sa.bindparam("b_scope"))
    .distinct()
)
_TABLES = {"user": (role_assignments, _a.user_id), "group": (group_assignments, _g.group_id)}
"""The table of assignments for each kind of actor, and its column that names the actor."""

_actor_domain = domains.alias("actor_domain")
_project_domain = domains.alias("project_domain")
_target_domain = domains.alias("target_domain")


def _assignments(table: sa.Table, actor: sa.Column[Any], actors: sa.Table) -> sa.Select[Any]:
    """The assignments of one kind of actor, with the names of everything they speak of."""
    c = table.c
    return (
        sa.select(
            actor.label("actor_id"),
            c.role_id,
            c.scope,
            c.target_id,
            _r.name.label("role_name"),
            actors.c.name.label("actor_name"),
            _actor_domain.c.id.label("actor_domain_id"),
            _actor_domain.c.name.label("actor_domain_name"),
            projects.c.name.label("project_name"),
            _project_domain.c.id.label("project_domain_id"),
            _project_domain.c.name.label("project_domain_name"),
            _target_domain.c.name.label("domain_name"),
        )
        .join_from(table, roles, c.role_id == _r.id)
        .join(actors, actor == actors.c.id)
        .join(_actor_domain, actors.c.domain_id == _actor_domain.c.id)
        .outerjoin(projects, sa.and_(c.scope == "project", c.target_id == projects.c.id))
        .outerjoin(_project_domain, projects.c.domain_id == _project_domain.c.id)
        .outerjoin(_target_domain, sa.and_(c.scope == "domain", c.target_id == _target_domain.c.id))
        .order_by(actor, c.scope, c.target_id, _r.name)
    )


_LISTED = {
    "user": _assignments(role_assignments, _a.user_id, users),
    "group": _assignments(group_assignments, _g.group_id, user_groups),
}


def get(tx: Transaction, role_id: str) -> Row | None:
    """Read a role."""
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
    with refused_as(f"A role named '{row['name']}' exists already."):
        tx.execute(_insert, dict(row))


def update(tx: Transaction, role_id: str, values: Mapping[str, Any]) -> None:
    """Change a role. Raises ``Conflict`` if its new name is taken."""
    with refused_as(f"A role named '{values.get('name')}' exists already."):
        tx.execute(_update.values(dict(values)), {"b_id": role_id})
    tx.notify(CHANGED)


def delete(tx: Transaction, role_id: str) -> None:
    """Remove a role; whoever had it has it no more."""
    tx.execute(_delete, {"b_id": role_id})
    tx.notify(CHANGED)


def held(tx: Transaction, actor: Actor, target: Target) -> Sequence[Row]:
    """The roles that a user or a group was given itself on something, by name; without those they imply."""
    table, _ = _TABLES[actor[0]]
    query = sa.select(roles).join_from(table, roles, table.c.role_id == _r.id)
    return tx.execute(query.where(*_of(actor, target)).order_by(_r.name)).mappings().all()


def of_user(tx: Transaction, user_id: str, target: Target) -> Sequence[Row]:
    """The roles that a user has on something, given or through a group; without those they imply."""
    values = {"b_user": user_id, "b_scope": target[0], "b_target": target[1]}
    return tx.execute(_of_user, values).mappings().all()


def targets(tx: Transaction, user_id: str, kind: str) -> Sequence[str]:
    """The ids of the projects (or domains) on which a user has any role, given or through a group."""
    return tx.execute(_targets, {"b_user": user_id, "b_scope": kind}).scalars().all()


def give(tx: Transaction, actor: Actor, role_id: str, target: Target) -> None:
    """Give a role on something. Whoever has it already keeps it."""
    if any(role["id"] == role_id for role in held(tx, actor, target)):
        return
    table, who = _TABLES[actor[0]]
    row = {who.name: actor[1], "role_id": role_id, "scope": target[0], "target_id": target[1]}
    tx.execute(sa.insert(table), row)


def take(tx: Transaction, actor: Actor, role_id: str, target: Target) -> bool:
    """Take a role away. False when it was not given."""
    table, _ = _TABLES[actor[0]]
    tx.notify(CHANGED)
    taken = sa.delete(table).where(table.c.role_id == role_id, *_of(actor, target))
    return bool(tx.execute(taken).rowcount)


def take_all(tx: Transaction, target: Target) -> None:
    """Take every role on this from everybody."""
    for table, _ in _TABLES.values():
        tx.execute(sa.delete(table).where(table.c.scope == target[0], table.c.target_id == target[1]))
    tx.notify(CHANGED)


def _of(actor: Actor, target: Target) -> tuple[sa.ColumnElement[bool], ...]:
    table, who = _TABLES[actor[0]]
    return who == actor[1], table.c.scope == target[0], table.c.target_id == target[1]


def assignments(tx: Transaction, kind: str, wanted: Mapping[str, object]) -> Sequence[Row]:
    """The assignments of a kind of actor whose columns have these values (``actor_id`` for its id)."""
    table, who = _TABLES[kind]
    columns = {"actor_id": who, **table.c}
    query = _LISTED[kind].where(*(columns[name] == value for name, value in wanted.items()))
    return tx.execute(query).mappings().all()

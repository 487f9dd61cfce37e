"""Rows of ``users``. Each is read together with its domain; only a login reads the password's hash."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.store import failed_logins
from pumice.store.database import Transaction
from pumice.store.tables import domains, users
from pumice.store.taken import refused_as
from pumice.store.tokens import CHANGED

Row = sa.RowMapping

_u = users.c
_shown = [column for column in _u if column.name != "password_hash"]
_domain = domains.c.name.label("domain_name"), domains.c.enabled.label("domain_enabled")
_all = sa.select(*_shown, *_domain).join_from(users, domains, _u.domain_id == domains.c.id)
_by_id = _all.where(_u.id == sa.bindparam("b_id"))
_by_name = _all.where(
    _u.name == sa.bindparam("b_name"),
    sa.or_(_u.domain_id == sa.bindparam("b_domain_id"), domains.c.name == sa.bindparam("b_domain_name")),
)
_hash = sa.select(_u.password_hash).where(_u.id == sa.bindparam("b_id"))
_insert = sa.insert(users)
_update = sa.update(users).where(_u.id == sa.bindparam("b_id"))
_delete = sa.delete(users).where(_u.id == sa.bindparam("b_id"))


def get(tx: Transaction, user_id: str) -> Row | None:
    """A user; ``domain_name`` and ``domain_enabled`` tell of its domain."""
    return tx.execute(_by_id, {"b_id": user_id}).mappings().one_or_none()


def named(
    tx: Transaction, name: str, *, domain_id: str | None = None, domain_name: str | None = None
) -> Row | None:
    """The user of this name in the domain of that id or that name."""
    values = {"b_name": name, "b_domain_id": domain_id, "b_domain_name": domain_name}
    return tx.execute(_by_name, values).mappings().one_or_none()


def password_hash(tx: Transaction, user_id: str) -> str | None:
    """What the user's password is checked against; None without a user or a password."""
    return tx.execute(_hash, {"b_id": user_id}).scalar()


def matching(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Users whose columns have these values, by name."""
    query = _all.where(*(_u[column] == value for column, value in wanted.items())).order_by(_u.name, _u.id)
    return tx.execute(query).mappings().all()


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a user. Raises ``Conflict`` if its name is taken in its domain."""
    with refused_as(f"A user named '{row['name']}' exists already in this domain."):
        tx.execute(_insert, dict(row))


def update(tx: Transaction, user_id: str, values: Mapping[str, Any]) -> None:
    """Change a user. Raises ``Conflict`` if its new name is taken in its domain."""
    with refused_as(f"A user named '{values.get('name')}' exists already in this domain."):
        tx.execute(_update.values(dict(values)), {"b_id": user_id})
    if "password_hash" in values:
        failed_logins.forget(tx, user_id)
    tx.notify(CHANGED)


def forget_default_project(tx: Transaction, project_id: str) -> None:
    """Take a default project from every user who has it."""
    tx.execute(sa.update(users).where(_u.default_project_id == project_id).values(default_project_id=None))


def delete(tx: Transaction, user_id: str) -> None:
    """Remove a user, with its roles and tokens."""
    tx.execute(_delete, {"b_id": user_id})
    tx.notify(CHANGED)

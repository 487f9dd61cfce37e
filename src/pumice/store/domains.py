"""Rows of ``domains``: the namespaces of users and projects."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import domains
from pumice.store.taken import refused_as
from pumice.store.tokens import CHANGED

Row = sa.RowMapping

_d = domains.c
_all = sa.select(domains).order_by(_d.name)
_by_id = sa.select(domains).where(_d.id == sa.bindparam("b_id"))
_by_name = sa.select(domains).where(_d.name == sa.bindparam("b_name"))
_insert = sa.insert(domains)
_update = sa.update(domains).where(_d.id == sa.bindparam("b_id"))
_delete = sa.delete(domains).where(_d.id == sa.bindparam("b_id"))


def get(tx: Transaction, domain_id: str) -> Row | None:
    """Read a domain."""
    return tx.execute(_by_id, {"b_id": domain_id}).mappings().one_or_none()


def named(tx: Transaction, name: str) -> Row | None:
    """The domain of this name."""
    return tx.execute(_by_name, {"b_name": name}).mappings().one_or_none()


def matching(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Domains whose columns have these values, by name."""
    query = _all.where(*(_d[column] == value for column, value in wanted.items()))
    return tx.execute(query).mappings().all()


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a domain. Raises ``Conflict`` if its name is taken."""
    with refused_as(f"A domain named '{row['name']}' exists already."):
        tx.execute(_insert, dict(row))


def update(tx: Transaction, domain_id: str, values: Mapping[str, Any]) -> None:
    """Change a domain. Raises ``Conflict`` if its new name is taken."""
    with refused_as(f"A domain named '{values.get('name')}' exists already."):
        tx.execute(_update.values(dict(values)), {"b_id": domain_id})
    tx.notify(CHANGED)


def delete(tx: Transaction, domain_id: str) -> None:
    """Remove a domain in which nothing is left."""
    tx.execute(_delete, {"b_id": domain_id})
    tx.notify(CHANGED)

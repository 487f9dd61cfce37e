"""Rows of ``application_credentials``, and of the ``access_rules`` that narrow what their tokens may ask."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import access_rules, application_credentials
from pumice.store.taken import refused_as
from pumice.store.tokens import CHANGED

Row = sa.RowMapping

_c = application_credentials.c
_r = access_rules.c


def get(tx: Transaction, credential_id: str) -> Row | None:
    """The row of a credential."""
    query = sa.select(application_credentials).where(_c.id == credential_id)
    return tx.execute(query).mappings().one_or_none()


def matching(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Credentials whose columns have these values, by name."""
    query = sa.select(application_credentials).where(*(_c[column] == value for column, value in wanted.items()))
    return tx.execute(query.order_by(_c.name)).mappings().all()


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a credential. Raises ``Conflict`` if the user has one of its name."""
    with refused_as(f"An application credential named '{row['name']}' exists already."):
        tx.execute(sa.insert(application_credentials), dict(row))


def delete(tx: Transaction, wanted: Mapping[str, object]) -> None:
    """Remove the credentials whose columns have these values: their tokens are void from now on."""
    tx.execute(
        sa.delete(application_credentials).where(*(_c[column] == value for column, value in wanted.items()))
    )
    tx.notify(CHANGED)


def rules(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Access rules whose columns have these values."""
    query = sa.select(access_rules).where(*(_r[column] == value for column, value in wanted.items()))
    return tx.execute(query.order_by(_r.service, _r.path, _r.method)).mappings().all()


def rules_of(tx: Transaction, ids: Collection[str]) -> Sequence[Row]:
    """The access rules of these ids."""
    if not ids:
        return ()
    query = sa.select(access_rules).where(_r.id.in_(list(ids)))
    return tx.execute(query.order_by(_r.service, _r.path, _r.method)).mappings().all()


def insert_rule(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add an access rule. Raises ``Conflict`` if its id is taken."""
    with refused_as(f"An access rule of the id '{row['id']}' exists already."):
        tx.execute(sa.insert(access_rules), dict(row))


def delete_rule(tx: Transaction, rule_id: str) -> None:
    """Remove an access rule that no credential has."""
    tx.execute(sa.delete(access_rules).where(_r.id == rule_id))

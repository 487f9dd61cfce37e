"""Rows of ``tokens``. A token itself is never stored, only its digest, so that a stolen database opens nothing.

Whoever remembers what a token stands for subscribes to ``CHANGED``: it is notified by every write of the
identity rows that may take something away from somebody.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import tokens

Row = sa.RowMapping
PRUNED_AT_ONCE = 100
CHANGED = "identity"
"""The topic that is notified when a token may stand for less than before."""

_t = tokens.c
_insert = sa.insert(tokens)
_living = sa.select(tokens).where(_t.digest == sa.bindparam("b_digest"), _t.expires_at > sa.bindparam("now"))
_delete = sa.delete(tokens).where(_t.digest == sa.bindparam("b_digest"))
_delete_derived = sa.delete(tokens).where(
    _t.user_id == sa.bindparam("b_user"), _t.audit_ids[1].as_string() == sa.bindparam("b_audit_id")
)
_delete_of_user = sa.delete(tokens).where(_t.user_id == sa.bindparam("b_user"))
_delete_of_project = sa.delete(tokens).where(_t.project_id == sa.bindparam("b_project"))
_expired = (
    sa.select(_t.digest)
    .where(_t.expires_at <= sa.bindparam("now"))
    .order_by(_t.expires_at)
    .limit(PRUNED_AT_ONCE)
)
_prune = sa.delete(tokens).where(_t.digest.in_(_expired.scalar_subquery()))


def insert(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Add a token and sweep out some that have expired, so that the table never grows past what is in use."""
    tx.execute(_prune, {"now": row["issued_at"]})
    tx.execute(_insert, dict(row))


def living(tx: Transaction, digest: str, at: datetime) -> Row | None:
    """The token of this digest, if it has not expired."""
    return tx.execute(_living, {"b_digest": digest, "now": at}).mappings().one_or_none()


def take(tx: Transaction, digest: str, at: datetime) -> Row | None:
    """Remove what lives under this digest, and return it; none if there is none, or another took it."""
    row = living(tx, digest, at)
    if row is None or not tx.execute(_delete, {"b_digest": digest}).rowcount:
        return None
    return row


def delete(tx: Transaction, digest: str) -> None:
    """Remove a token."""
    tx.execute(_delete, {"b_digest": digest})
    tx.notify(CHANGED)


def delete_derived(tx: Transaction, user_id: str, audit_id: str) -> None:
    """Remove the tokens that were got by showing the token of this audit id."""
    tx.execute(_delete_derived, {"b_user": user_id, "b_audit_id": audit_id})
    tx.notify(CHANGED)


def delete_of_user(tx: Transaction, user_id: str) -> None:
    """Remove every token of a user."""
    tx.execute(_delete_of_user, {"b_user": user_id})
    tx.notify(CHANGED)


def delete_of_project(tx: Transaction, project_id: str) -> None:
    """Remove every token for a project."""
    tx.execute(_delete_of_project, {"b_project": project_id})
    tx.notify(CHANGED)

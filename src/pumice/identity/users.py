"""Verbs on users. Whatever may end what somebody holds (a password, being enabled) takes their tokens back."""

from collections.abc import Mapping, Sequence
from typing import Any

from pumice.identity import options
from pumice.identity.token import REFUSED
from pumice.model.errors import Invalid, NotFound, Unauthenticated
from pumice.store import domains, projects, roles, tokens, users
from pumice.store.database import Transaction
from pumice.store.users import Row


def show(tx: Transaction, user_id: str) -> Row:
    """One user. Raises ``NotFound``."""
    row = users.get(tx, user_id)
    if row is None:
        raise NotFound("User", user_id)
    return row


def matching(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Users whose columns have these values, by name."""
    return users.matching(tx, wanted)


def add(tx: Transaction, row: Mapping[str, Any]) -> Row:
    """Add a user. Raises ``NotFound`` for its domain, ``Conflict`` for its name."""
    if domains.get(tx, row["domain_id"]) is None:
        raise NotFound("Domain", row["domain_id"])
    users.insert(tx, row)
    return show(tx, row["id"])


def change(tx: Transaction, user_id: str, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """Change columns of a user, and keys of ``extra``."""
    before = show(tx, user_id)
    users.update(tx, user_id, {**values, "extra": options.kept(before, extra)})
    if "password_hash" in values or values.get("enabled") is False:
        tokens.delete_of_user(tx, user_id)
    return show(tx, user_id)


def change_password(tx: Transaction, user_id: str, before: str | None, after: str) -> None:
    """Replace a password's hash, if it is still what was checked. Raises ``Invalid`` for a locked one."""
    if before is None or users.password_hash(tx, user_id) != before:
        raise Unauthenticated(REFUSED)
    if options.of(show(tx, user_id)).get("lock_password"):
        raise Invalid(
            "You cannot change your password at this time due to password policy disallowing password changes. "
            "Please contact your administrator to reset your password."
        )
    users.update(tx, user_id, {"password_hash": after})
    tokens.delete_of_user(tx, user_id)


def remove(tx: Transaction, user_id: str) -> None:
    """Remove a user, with its roles and tokens."""
    show(tx, user_id)
    users.delete(tx, user_id)


def projects_of(tx: Transaction, user_id: str, wanted: Mapping[str, object]) -> Sequence[Row]:
    """The projects on which a user has a role."""
    show(tx, user_id)
    return projects.matching(tx, wanted, among=roles.targets(tx, user_id, "project"))

"""Verbs on application credentials: a program logs in with one, for one project, with some of its user's roles.

A credential never gives more than its user has: its roles are looked up each time among those that the user
still has there. It goes with its user, and when the user loses a role on its project.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pumice.identity.roles import with_implied
from pumice.model.errors import Conflict, Forbidden, Invalid, NotFound
from pumice.store import application_credentials, roles
from pumice.store.database import Transaction
from pumice.store.resources import Row


def show(tx: Transaction, user_id: str, credential_id: str) -> Row:
    """One of a user's credentials. Raises ``NotFound``."""
    row = application_credentials.get(tx, credential_id)
    if row is None or row["user_id"] != user_id:
        raise NotFound("Application Credential", credential_id)
    return row


def add(
    tx: Transaction,
    row: Mapping[str, Any],
    shown: Collection[str],
    asked_roles: Sequence[Mapping[str, str]],
    rules: Sequence[Mapping[str, str]],
) -> Row:
    """Add a credential with some of the roles of the token that was ``shown``; all if none is asked for.

    Raises ``Invalid`` for a role that it has not, ``NotFound`` for a rule of somebody else, ``Conflict`` for
    its name.
    """
    held = {role["name"] for role in roles.of_user(tx, row["user_id"], ("project", row["project_id"]))}
    mine = roles.named(tx, with_implied(held) & with_implied(shown))
    chosen = [_role(mine, asked) for asked in asked_roles] or mine
    names = with_implied(role["name"] for role in chosen)
    role_ids = [role["id"] for role in roles.named(tx, names)]
    rule_ids = [_rule(tx, row["user_id"], rule) for rule in rules]
    application_credentials.insert(tx, {**row, "role_ids": role_ids, "access_rule_ids": rule_ids})
    return show(tx, row["user_id"], row["id"])


def remove(tx: Transaction, user_id: str, credential_id: str) -> None:
    """Remove a credential: its tokens are void at once."""
    show(tx, user_id, credential_id)
    application_credentials.delete(tx, {"id": credential_id})


def show_rule(tx: Transaction, user_id: str, rule_id: str) -> Row:
    """One of a user's access rules. Raises ``NotFound``."""
    found = application_credentials.rules(tx, {"user_id": user_id, "id": rule_id})
    if not found:
        raise NotFound("Access Rule", rule_id)
    return found[0]


def remove_rule(tx: Transaction, user_id: str, rule_id: str) -> None:
    """Remove an access rule. Raises ``Forbidden`` while a credential has it."""
    show_rule(tx, user_id, rule_id)
    if any(
        rule_id in one["access_rule_ids"] for one in application_credentials.matching(tx, {"user_id": user_id})
    ):
        raise Forbidden("May not delete access rule in use: delete the application credentials that have it.")
    application_credentials.delete_rule(tx, rule_id)


def _role(mine: Sequence[Row], asked: Mapping[str, str]) -> Row:
    for role in mine:
        if asked in ({"id": role["id"]}, {"name": role["name"]}):
            return role
    raise Invalid(
        "Invalid application credential: Cannot create an application credential with unassigned role."
    )


def _rule(tx: Transaction, user_id: str, rule: Mapping[str, str]) -> str:
    """The id of an access rule: the user's own of that id, one that says the same, or a new one."""
    if rule.keys() == {"id"}:
        return str(show_rule(tx, user_id, rule["id"])["id"])
    same = {"user_id": user_id, **{name: rule[name] for name in ("service", "path", "method")}}
    if found := application_credentials.rules(tx, same):
        return str(found[0]["id"])
    if application_credentials.rules(tx, {"id": rule["id"]}):
        raise Conflict(f"An access rule of the id '{rule['id']}' exists already.")
    application_credentials.insert_rule(tx, {**same, "id": rule["id"]})
    return rule["id"]

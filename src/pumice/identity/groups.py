"""Verbs on groups of users: what a group has, each of its members has."""

from collections.abc import Mapping
from typing import Any

from pumice.identity import projects, users
from pumice.model.errors import NotFound
from pumice.store import application_credentials, memberships, roles
from pumice.store.database import Transaction
from pumice.store.resources import GROUPS, Row


def add(tx: Transaction, row: Mapping[str, Any]) -> Row:
    """Add a group. Raises ``NotFound`` for its domain, ``Conflict`` for its name."""
    projects.show_domain(tx, row["domain_id"])
    return GROUPS.add(tx, row)


def remove(tx: Transaction, group_id: str) -> None:
    """Remove a group, with what its members had through it."""
    for user_id in memberships.users_in(tx, group_id):
        _void_credentials(tx, group_id, user_id)
    GROUPS.remove(tx, group_id)


def of_user(tx: Transaction, user_id: str, wanted: Mapping[str, object]) -> list[Row]:
    """The groups that a user is in, of those whose columns have these values."""
    users.show(tx, user_id)
    mine = set(memberships.groups_of(tx, user_id))
    return [group for group in GROUPS.matching(tx, wanted) if group["id"] in mine]


def members(tx: Transaction, group_id: str, wanted: Mapping[str, object]) -> list[Row]:
    """The users in a group, of those whose columns have these values."""
    GROUPS.show(tx, group_id)
    inside = set(memberships.users_in(tx, group_id))
    return [user for user in users.matching(tx, wanted) if user["id"] in inside]


def check(tx: Transaction, group_id: str, user_id: str) -> None:
    """Raises ``NotFound`` unless the user is in the group."""
    _both(tx, group_id, user_id)
    if not memberships.has(tx, group_id, user_id):
        raise NotFound("User", f"{user_id} in group {group_id}")


def join(tx: Transaction, group_id: str, user_id: str) -> None:
    """Put a user into a group; again changes nothing."""
    _both(tx, group_id, user_id)
    if not memberships.has(tx, group_id, user_id):
        memberships.add(tx, group_id, user_id)


def leave(tx: Transaction, group_id: str, user_id: str) -> None:
    """Take a user out of a group, with what it had through it."""
    check(tx, group_id, user_id)
    _void_credentials(tx, group_id, user_id)
    memberships.remove(tx, group_id, user_id)


def _both(tx: Transaction, group_id: str, user_id: str) -> None:
    GROUPS.show(tx, group_id)
    users.show(tx, user_id)


def _void_credentials(tx: Transaction, group_id: str, user_id: str) -> None:
    """What the user made for itself where the group has a role: whoever loses a role loses those."""
    for row in roles.assignments(tx, "group", {"actor_id": group_id, "scope": "project"}):
        application_credentials.delete(tx, {"user_id": user_id, "project_id": row["target_id"]})

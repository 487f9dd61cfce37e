"""Verbs on roles: which there are, and who has which on what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pumice.identity import projects, users
from pumice.identity.roles import BUILT_IN, implied_by, next_to
from pumice.model.errors import Forbidden, NotFound
from pumice.store import domains, roles
from pumice.store.database import Transaction
from pumice.store.roles import Row, Target


def show(tx: Transaction, role_id: str) -> Row:
    """One role. Raises ``NotFound``."""
    row = roles.get(tx, role_id)
    if row is None:
        raise NotFound("Role", role_id)
    return row


def matching(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Roles whose columns have these values, by name."""
    return roles.matching(tx, wanted)


def add(tx: Transaction, row: Mapping[str, Any]) -> Row:
    """Add a role. Raises ``Conflict`` for its name."""
    roles.insert(tx, row)
    return show(tx, row["id"])


def change(tx: Transaction, role_id: str, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """Change columns of a role, and keys of ``extra``. Raises ``Forbidden`` to rename one that rules name."""
    before = show(tx, role_id)
    if before["name"] in BUILT_IN and values.get("name", before["name"]) != before["name"]:
        raise Forbidden(f"The role '{before['name']}' cannot be renamed: rules name it.")
    roles.update(tx, role_id, {**values, "extra": {**before["extra"], **extra}})
    return show(tx, role_id)


def remove(tx: Transaction, role_id: str) -> None:
    """Remove a role from everybody. Raises ``Forbidden`` for one that rules name."""
    name = show(tx, role_id)["name"]
    if name in BUILT_IN:
        raise Forbidden(f"The role '{name}' cannot be deleted: rules name it.")
    roles.delete(tx, role_id)


def implications(tx: Transaction) -> list[tuple[Row, Row]]:
    """Every role that brings another along, with that one."""
    by_name = {role["name"]: role for role in roles.matching(tx, {})}
    pairs = ((role, by_name.get(next_to(name) or "")) for name, role in by_name.items())
    return [(role, implied) for role, implied in pairs if implied is not None]


# --- who has which on what ----------------------------------------------------------------------


def held(tx: Transaction, user_id: str, target: Target) -> Sequence[Row]:
    """The roles a user was given on something. Raises ``NotFound`` for the user or the thing."""
    _check(tx, user_id, target)
    return roles.held(tx, user_id, target)


def check(tx: Transaction, user_id: str, role_id: str, target: Target) -> None:
    """Raises ``NotFound`` unless a user was given a role on something."""
    show(tx, role_id)
    if not any(role["id"] == role_id for role in held(tx, user_id, target)):
        raise NotFound("Role assignment with role", role_id)


def give(tx: Transaction, user_id: str, role_id: str, target: Target) -> None:
    """Give a user a role on something; again changes nothing. Raises ``NotFound`` for any of the three."""
    _check(tx, user_id, target)
    show(tx, role_id)
    roles.give(tx, user_id, role_id, target)


def take(tx: Transaction, user_id: str, role_id: str, target: Target) -> None:
    """Take a role away. Raises ``NotFound`` if the user was not given it."""
    check(tx, user_id, role_id, target)
    roles.take(tx, user_id, role_id, target)


def _check(tx: Transaction, user_id: str, target: Target) -> None:
    users.show(tx, user_id)
    kind, target_id = target
    if kind == "project":
        projects.show(tx, target_id)
    elif kind == "domain":
        projects.show_domain(tx, target_id)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role that a user has on something, given or implied by ``prior_role_id``."""

    row: Row
    role_id: str
    role_name: str
    prior_role_id: str | None = None


def assignments(tx: Transaction, wanted: Mapping[str, object], *, effective: bool) -> list[Assignment]:
    """The assignments whose columns have these values; ``effective``: with the implied roles."""
    if not effective:
        return [Assignment(row, row["role_id"], row["role_name"]) for row in roles.assignments(tx, wanted)]
    of_role = wanted.get("role_id")
    others = {column: value for column, value in wanted.items() if column != "role_id"}
    ids = {role["name"]: str(role["id"]) for role in roles.matching(tx, {})}
    found: dict[tuple[str, str, str, str], Assignment] = {}
    for row in roles.assignments(tx, others):
        for assignment in _with_implied(row, ids):
            key = row["user_id"], assignment.role_id, row["scope"], row["target_id"]
            if assignment.prior_role_id is None or key not in found:
                found[key] = assignment
    return [one for one in found.values() if of_role in (None, one.role_id)]


def _with_implied(row: Row, ids: Mapping[str, str]) -> Iterator[Assignment]:
    yield Assignment(row, row["role_id"], row["role_name"])
    for name in sorted(implied_by(row["role_name"]) & ids.keys()):
        yield Assignment(row, ids[name], name, prior_role_id=row["role_id"])


# --- what a user may log in to ------------------------------------------------------------------


def domains_of(tx: Transaction, user_id: str) -> Sequence[Row]:
    """The domains on which a user has a role."""
    mine = set(roles.targets(tx, user_id, "domain"))
    return [row for row in domains.matching(tx, {"enabled": True}) if row["id"] in mine]


def has_system_role(tx: Transaction, user_id: str) -> bool:
    """Whether a user may ask for a system-scoped token."""
    return bool(roles.held(tx, user_id, roles.SYSTEM))

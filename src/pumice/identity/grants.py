"""Verbs on roles: which there are, and who has which on what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pumice.identity import options, projects, users
from pumice.identity.roles import BUILT_IN, implied_by, next_to
from pumice.model.errors import Forbidden, NotFound
from pumice.store import application_credentials, domains, memberships, roles
from pumice.store.database import Transaction
from pumice.store.resources import GROUPS
from pumice.store.roles import Actor, Row, Target


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
    """Change columns of a role, and keys of ``extra``. Raises ``Forbidden`` for an immutable one.

    One that rules name keeps its name, too.
    """
    before = show(tx, role_id)
    if before["name"] in BUILT_IN and values.get("name", before["name"]) != before["name"]:
        raise Forbidden(f"The role '{before['name']}' cannot be renamed: rules name it.")
    options.refuse_change("role", before, values, extra)
    roles.update(tx, role_id, {**values, "extra": options.kept(before, extra)})
    return show(tx, role_id)


def remove(tx: Transaction, role_id: str) -> None:
    """Remove a role from everybody. Raises ``Forbidden`` for one that is immutable, or that rules name."""
    row = show(tx, role_id)
    if row["name"] in BUILT_IN:
        raise Forbidden(f"The role '{row['name']}' cannot be deleted: rules name it.")
    options.refuse_removal("role", row)
    roles.delete(tx, role_id)


def implications(tx: Transaction) -> list[tuple[Row, Row]]:
    """Every role that brings another along, with that one."""
    by_name = {role["name"]: role for role in roles.matching(tx, {})}
    pairs = ((role, by_name.get(next_to(name) or "")) for name, role in by_name.items())
    return [(role, implied) for role, implied in pairs if implied is not None]


# --- who has which on what ----------------------------------------------------------------------


def held(tx: Transaction, actor: Actor, target: Target) -> Sequence[Row]:
    """The roles given on something. Raises ``NotFound`` for the user, the group or the thing."""
    _check(tx, actor, target)
    return roles.held(tx, actor, target)


def check(tx: Transaction, actor: Actor, role_id: str, target: Target) -> None:
    """Raises ``NotFound`` unless a role was given on something."""
    show(tx, role_id)
    if not any(role["id"] == role_id for role in held(tx, actor, target)):
        raise NotFound("Role assignment with role", role_id)


def give(tx: Transaction, actor: Actor, role_id: str, target: Target) -> None:
    """Give a role on something; again changes nothing. Raises ``NotFound`` for any of the three."""
    _check(tx, actor, target)
    show(tx, role_id)
    roles.give(tx, actor, role_id, target)


def take(tx: Transaction, actor: Actor, role_id: str, target: Target) -> None:
    """Take a role away, and what was made with it. Raises ``NotFound`` if it was not given."""
    check(tx, actor, role_id, target)
    roles.take(tx, actor, role_id, target)
    if target[0] == "project":
        users_of = [actor[1]] if actor[0] == "user" else memberships.users_in(tx, actor[1])
        for user_id in users_of:
            application_credentials.delete(tx, {"user_id": user_id, "project_id": target[1]})


def _check(tx: Transaction, actor: Actor, target: Target) -> None:
    if actor[0] == "user":
        users.show(tx, actor[1])
    else:
        GROUPS.show(tx, actor[1])
    kind, target_id = target
    if kind == "project":
        projects.show(tx, target_id)
    elif kind == "domain":
        projects.show_domain(tx, target_id)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role that a user or a group has on something: given, implied by another, or through a group."""

    row: Row
    actor: Actor
    who: Mapping[str, Any] | Row
    """The actor's ``name``, ``domain_id`` and ``domain_name``."""
    role_id: str
    role_name: str
    prior_role_id: str | None = None
    group_id: str | None = None


def assignments(
    tx: Transaction,
    actor: Actor | None,
    wanted: Mapping[str, object],
    *,
    effective: bool,
    below: bool = False,
) -> list[Assignment]:
    """The assignments of an actor, or of everybody, whose columns have these values.

    ``effective``: what each user has in the end, through groups and with the implied roles. ``below``: on the
    projects under the wanted one too.
    """
    if below:
        found, places = [], [str(wanted["target_id"])]
        for place in places:  # it grows while it is walked
            found += assignments(tx, actor, {**wanted, "target_id": place}, effective=effective)
            places += [child["id"] for child in projects.children(tx, place)]
        return found
    if effective:
        return _effective(tx, actor[1] if actor else None, wanted)
    found = []
    for kind in ("user", "group") if actor is None else (actor[0],):
        of = {"actor_id": actor[1]} if actor else {}
        for row in roles.assignments(tx, kind, {**wanted, **of}):
            who = {name: row[f"actor_{name}"] for name in ("name", "domain_id", "domain_name")}
            found.append(Assignment(row, (kind, row["actor_id"]), who, row["role_id"], row["role_name"]))
    return found


def _effective(tx: Transaction, user_id: str | None, wanted: Mapping[str, object]) -> list[Assignment]:
    of_role = wanted.get("role_id")
    others = {column: value for column, value in wanted.items() if column != "role_id"}
    ids = {role["name"]: str(role["id"]) for role in roles.matching(tx, {})}
    found: dict[tuple[str, str, str, str], Assignment] = {}
    for given in _given_to(tx, user_id, others):
        for mine in [given] if given.actor[0] == "user" else _through_group(tx, given, user_id):
            for one in _with_implied(mine, ids):
                key = mine.actor[1], one.role_id, one.row["scope"], one.row["target_id"]
                if one.prior_role_id is None or key not in found:
                    found[key] = one
    return [one for one in found.values() if of_role in (None, one.role_id)]


def _given_to(tx: Transaction, user_id: str | None, wanted: Mapping[str, object]) -> list[Assignment]:
    """What was given to a user and to the groups that it is in, or to everybody."""
    if user_id is None:
        return assignments(tx, None, wanted, effective=False)
    actors = [("user", user_id), *(("group", group_id) for group_id in memberships.groups_of(tx, user_id))]
    return [one for actor in actors for one in assignments(tx, actor, wanted, effective=False)]


def _through_group(tx: Transaction, given: Assignment, user_id: str | None) -> Iterator[Assignment]:
    """An assignment of a group as one of the user's who is in it, or of each member."""
    group_id = given.actor[1]
    for member in [user_id] if user_id else memberships.users_in(tx, group_id):
        yield replace(given, actor=("user", member), who=users.show(tx, member), group_id=group_id)


def _with_implied(given: Assignment, ids: Mapping[str, str]) -> Iterator[Assignment]:
    yield given
    for name in sorted(implied_by(given.role_name) & ids.keys()):
        yield replace(given, role_id=ids[name], role_name=name, prior_role_id=given.role_id)


# --- what a user may log in to ------------------------------------------------------------------


def domains_of(tx: Transaction, user_id: str) -> Sequence[Row]:
    """The domains on which a user has a role."""
    mine = set(roles.targets(tx, user_id, "domain"))
    return [row for row in domains.matching(tx, {"enabled": True}) if row["id"] in mine]


def has_system_role(tx: Transaction, user_id: str) -> bool:
    """Whether a user may ask for a system-scoped token."""
    return bool(roles.of_user(tx, user_id, roles.SYSTEM))

"""What a token stands for, read from the rows as they are now.

A token's row says who asked for what; the rest is looked up each time: whether the user, the project and their
domains are still enabled, and which roles the user still has there. So whatever is taken from a user is gone
from all tokens at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pumice.identity.roles import with_implied
from pumice.model.errors import Unauthenticated
from pumice.model.ids import ProjectId, UserId
from pumice.model.scope import AccessRule, Scope
from pumice.store import application_credentials, domains, projects, roles, users
from pumice.store.columns import is_unread
from pumice.store.database import Transaction
from pumice.store.resources import Row

REFUSED = "The request you have made requires authentication."
"""The words for every refusal: they must not tell which users, projects or tokens exist."""


@dataclass(frozen=True, slots=True)
class Named:
    """An id and a name, and of users and projects the same of their domain."""

    id: str
    name: str
    domain: "Named | None" = None


@dataclass(frozen=True, slots=True)
class Token:
    """Everything that a token says about its bearer."""

    user: Named
    credential: Named | None
    """The application credential that it was got for."""
    password_expires_at: datetime | None
    project: Named | None
    domain: Named | None
    system: bool
    roles: tuple[Named, ...]
    """The roles, with those that they imply."""
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    """The token's audit id and, when another token was shown for it, that of the first in the chain."""
    issued_at: datetime
    expires_at: datetime
    scope: Scope
    """The scope that requests carry."""

    @property
    def scoped(self) -> bool:
        """Whether it is good for anything but getting another token."""
        return self.system or self.project is not None or self.domain is not None


def read(tx: Transaction, row: Mapping[str, Any]) -> Token:
    """The token of a row of ``tokens``. Raises ``Unauthenticated`` if it is good for nothing (any more)."""
    user = users.get(tx, row["user_id"])
    if user is None or not (user["enabled"] and user["domain_enabled"]):
        raise Unauthenticated(REFUSED)
    project = _project(tx, row["project_id"])
    domain = _domain(tx, row["domain_id"])
    credential = _credential(tx, row)
    held: tuple[Named, ...] = ()
    if target := _target(row):
        given = [role["name"] for role in roles.of_user(tx, row["user_id"], target)]
        mine = roles.named(tx, with_implied(given))
        held = tuple(
            Named(role["id"], role["name"])
            for role in mine
            if credential is None or role["id"] in credential["role_ids"]
        )
        if not held:
            raise Unauthenticated(REFUSED)
    return Token(
        user=Named(user["id"], user["name"], Named(user["domain_id"], user["domain_name"])),
        credential=Named(credential["id"], credential["name"]) if credential else None,
        password_expires_at=user["password_expires_at"],
        project=project,
        domain=domain,
        system=row["system"],
        roles=held,
        methods=tuple(row["methods"]),
        audit_ids=tuple(row["audit_ids"]),
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        scope=Scope(
            user_id=UserId(user["id"]),
            project_id=ProjectId(project.id) if project else None,
            roles=frozenset(role.name for role in held),
            domain_id=domain.id if domain else None,
            system=row["system"],
            user_name=user["name"],
            user_domain_id=user["domain_id"],
            project_name=project.name if project else "",
            project_domain_id=project.domain.id if project and project.domain else None,
            access_rules=_access_rules(tx, credential),
            is_restricted=credential is not None and not credential["unrestricted"],
        ),
    )


def _credential(tx: Transaction, row: Mapping[str, Any]) -> Row | None:
    """The application credential of a token: it is good for the project that it was made for, and no other."""
    if row.get("application_credential_id") is None:
        return None
    credential = application_credentials.get(tx, row["application_credential_id"])
    if credential is None or (credential["user_id"], credential["project_id"]) != (
        row["user_id"],
        row["project_id"],
    ):
        raise Unauthenticated(REFUSED)
    if is_unread(credential["access_rule_ids"]):  # empty would be: anything is allowed
        raise Unauthenticated(REFUSED)
    return credential


def _access_rules(tx: Transaction, credential: Row | None) -> tuple[AccessRule, ...]:
    found = application_credentials.rules_of(tx, credential["access_rule_ids"] if credential else ())
    return tuple(AccessRule(rule["service"], rule["method"], rule["path"], rule["id"]) for rule in found)


def _target(row: Mapping[str, Any]) -> roles.Target | None:
    if row["system"]:
        return roles.SYSTEM
    if row["project_id"] is not None:
        return "project", row["project_id"]
    if row["domain_id"] is not None:
        return "domain", row["domain_id"]
    return None


def _project(tx: Transaction, project_id: str | None) -> Named | None:
    if project_id is None:
        return None
    row = projects.get(tx, project_id)
    if row is None or not (row["enabled"] and row["domain_enabled"]):
        raise Unauthenticated(REFUSED)
    return Named(row["id"], row["name"], Named(row["domain_id"], row["domain_name"]))


def _domain(tx: Transaction, domain_id: str | None) -> Named | None:
    if domain_id is None:
        return None
    row = domains.get(tx, domain_id)
    if row is None or not row["enabled"]:
        raise Unauthenticated(REFUSED)
    return Named(row["id"], row["name"])

"""What a login asks to work on: a project, a domain, the whole system, or nothing in particular."""

from dataclasses import dataclass
from enum import StrEnum

from pumice.store import domains, projects, users
from pumice.store.database import Transaction


@dataclass(frozen=True, slots=True)
class Reference:
    """A thing by its id, or by its name (users and projects: in a domain of an id or a name)."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


class Kind(StrEnum):
    """The kinds of scope."""

    DEFAULT = "default"
    """The user's default project if the user may use it, else unscoped: where nothing was said."""
    UNSCOPED = "unscoped"
    PROJECT = "project"
    DOMAIN = "domain"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Asked:
    """A kind of scope and, for a project or a domain, which."""

    kind: Kind = Kind.DEFAULT
    reference: Reference = Reference()


def user_id(tx: Transaction, user: Reference) -> str | None:
    """The id of the user that is meant, if there is one."""
    if user.id is not None:
        return user.id
    row = users.named(tx, user.name or "", domain_id=user.domain_id, domain_name=user.domain_name)
    return str(row["id"]) if row else None


def project_id(tx: Transaction, project: Reference) -> str | None:
    """The id of the project that is meant, if there is one."""
    if project.id is not None:
        return project.id
    row = projects.named(tx, project.name or "", domain_id=project.domain_id, domain_name=project.domain_name)
    return str(row["id"]) if row else None


def domain_id(tx: Transaction, domain: Reference) -> str | None:
    """The id of the domain that is meant, if there is one."""
    if domain.id is not None:
        return domain.id
    row = domains.named(tx, domain.name or "")
    return str(row["id"]) if row else None

"""The caller of a request. Every read of a tenant's rows takes a ``Scope`` as its first argument."""

from dataclasses import dataclass, field

from pumice.model.errors import Invalid
from pumice.model.ids import ProjectId, UserId


@dataclass(frozen=True, slots=True)
class AccessRule:
    """A kind of request that an application credential is for."""

    service: str
    """A type of the catalog: ``block-storage``."""
    method: str
    path: str
    """The path, ``{names}`` or ``*`` for a part and ``**`` for any number of parts: ``/v3/*/volumes``."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """An authenticated caller: who, for which project, with which roles, in which request."""

    user_id: UserId
    project_id: ProjectId | None
    roles: frozenset[str]
    domain_id: str | None = None
    """Set for a domain-scoped token."""
    system: bool = False
    """A system-scoped token."""
    user_name: str = ""
    user_domain_id: str = "default"
    project_name: str = ""
    project_domain_id: str | None = None
    service_roles: frozenset[str] = field(default_factory=frozenset)
    """Roles of the service token that came along (``X-Service-Token``), if any."""
    is_service: bool = False
    """Whether a role makes it a service, which knows what it does to a server's volume (OSSA-2023-003)."""
    access_rules: tuple[AccessRule, ...] = ()
    """The only requests that an application credential may make; empty for any."""
    is_restricted: bool = False
    """Whether it is an application credential's that may not make or delete others."""
    named_admin: bool | None = None
    """Whether the operator's policy file makes it an administrator; None where that says nothing of it."""
    request_id: str = field(default="", compare=False)

    @property
    def is_admin(self) -> bool:
        """Sees and may do everything, in every project."""
        return "admin" in self.roles if self.named_admin is None else self.named_admin

    @property
    def called(self) -> str:
        """The user's name and id, for other people to read."""
        return f"{self.user_name} ({self.user_id})" if self.user_name else str(self.user_id)

    @property
    def project(self) -> ProjectId:
        """The project of a project-scoped token. Raises ``Invalid`` for any other token."""
        if self.project_id is None:
            raise Invalid("This needs a token that is scoped to a project.")
        return self.project_id


INTERNAL = Scope(UserId("pumice"), None, frozenset({"admin", "service"}), system=True, is_service=True)
"""Pumice itself, for work that no request asked for."""

"""The body of ``POST /auth/tokens``: who logs in, how, and for what. No error repeats what was in it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pumice.identity.scopes import Asked, Kind, Reference
from pumice.model.errors import Invalid


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)


class _Domain(_Strict):
    id: str | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _is_named(self) -> "_Domain":
        if self.id is None and self.name is None:
            raise ValueError("id or name must be present")
        return self

    def reference(self) -> Reference:
        return Reference(self.id, self.name)


class _InDomain(_Strict):
    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None

    @model_validator(mode="after")
    def _is_named(self) -> "_InDomain":
        if self.id is None and (self.name is None or self.domain is None):
            raise ValueError("id, or name and domain, must be present")
        return self

    def reference(self) -> Reference:
        domain = self.domain or _Domain(id="")
        return Reference(self.id, self.name, domain.id, domain.name)


class _User(_InDomain):
    password: str


class _Password(_Strict):
    user: _User


class _Token(_Strict):
    id: str


class _ApplicationCredential(_Strict):
    secret: str
    id: str | None = None
    name: str | None = None
    user: _InDomain | None = None

    @model_validator(mode="after")
    def _is_named(self) -> "_ApplicationCredential":
        if self.id is None and (self.name is None or self.user is None):
            raise ValueError("id, or name and user, must be present")
        return self


class _Identity(_Strict):
    methods: list[str] = Field(min_length=1)
    password: _Password | None = None
    token: _Token | None = None
    application_credential: _ApplicationCredential | None = None


class _System(_Strict):
    all: bool


class _Scope(_Strict):
    project: _InDomain | None = None
    domain: _Domain | None = None
    system: _System | None = None
    unscoped: dict[str, Any] | None = None

    def asked(self) -> Asked:
        said = self.model_dump(exclude_none=True)
        if len(said) > 1:
            raise Invalid(f"A token has one scope only, not {' and '.join(said)}.")
        if self.project:
            return Asked(Kind.PROJECT, self.project.reference())
        if self.domain:
            return Asked(Kind.DOMAIN, self.domain.reference())
        if self.system:
            if not self.system.all:
                raise Invalid("The only system scope is 'all'.")
            return Asked(Kind.SYSTEM)
        return Asked() if self.unscoped is None else Asked(Kind.UNSCOPED)


class Login(_Strict):
    """The object under ``auth`` in a request for a token."""

    identity: _Identity
    scope: _Scope | None = None

    @field_validator("scope", mode="before")
    @classmethod
    def _in_a_word(cls, scope: Any) -> Any:
        return {"unscoped": {}} if scope == "unscoped" else scope

    def asked(self) -> Asked:
        """The scope that the token shall have."""
        return self.scope.asked() if self.scope else Asked()

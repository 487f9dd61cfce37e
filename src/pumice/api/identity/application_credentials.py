"""``/users/{user_id}/application_credentials``, and the access rules that narrow what they are for."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pumice.api.call import Call, Reply
from pumice.api.identity.checks import ADMIN_OR_SELF, READER_OR_SELF, SELF
from pumice.api.identity.lists import Name, collection, link, moment, wanted
from pumice.api.identity.roles import plain_view
from pumice.api.policy import Rule
from pumice.api.routing import Route, writes
from pumice.api.times import as_utc
from pumice.identity import application_credentials as credentials
from pumice.identity import grants, passwords
from pumice.model.errors import Forbidden, Invalid
from pumice.model.ids import new_id
from pumice.store import application_credentials as rows
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.resources import Row

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-]+$")]
METHODS = Literal["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Role(_Strict):
    """A role by its id or its name."""

    id: Id | None = None
    name: Annotated[str, Name] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Role":
        if (self.id is None) == (self.name is None):
            raise ValueError("Either id or name must be present")
        return self


class AccessRule(_Strict):
    """An access rule that there is, by its id, or one to be made."""

    id: Id | None = None
    service: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-]+$")] | None = None
    path: Annotated[str, Field(max_length=225, pattern=r"^/")] | None = None
    method: METHODS | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "AccessRule":
        said = self.service, self.path, self.method
        if None in said and (self.id is None or any(said)):
            raise ValueError("service, path and method must be present, or id alone")
        return self


class Create(_Strict):
    """What a new credential may have."""

    name: Annotated[str, Name]
    description: str | None = None
    secret: Annotated[str, Field(min_length=1, max_length=passwords.LONGEST)] | None = None
    expires_at: str | None = None
    roles: list[Role] = Field(default_factory=list)
    unrestricted: bool | None = None
    access_rules: list[AccessRule] = Field(default_factory=list, max_length=100)
    project_id: str | None = None
    system: None = None
    """A credential is for a project."""


async def list_(call: Call) -> Reply:
    """``GET /users/{user_id}/application_credentials``."""
    filters = {**wanted(call, ("name",)), "user_id": call.args["user_id"]}
    shown = await call.ctx.db.read(_all, call, filters)
    return collection(call, "application_credentials", shown)


async def show(call: Call) -> Reply:
    """``GET /users/{user_id}/application_credentials/{id}``."""
    return Reply({"application_credential": await call.ctx.db.read(_one, call)})


async def create(call: Call) -> Reply:
    """``POST /users/{user_id}/application_credentials``: for the project of the token that is shown."""
    body = await call.parse(Create, "application_credential")
    _require_unrestricted(call)
    if call.who.project_id is None:
        raise Invalid("An application credential is for a project: use a token that is scoped to it.")
    if body.project_id not in (None, call.who.project_id):
        raise Invalid("An application credential is for the project of the token that makes it.")
    secret = body.secret or secrets.token_urlsafe(64)
    row = {
        "id": new_id(),
        "user_id": call.who.user_id,
        "project_id": call.who.project_id,
        "name": body.name,
        "description": body.description,
        "secret_hash": await passwords.hash_password(secret),
        "expires_at": _end(body.expires_at),
        "unrestricted": bool(body.unrestricted),
    }
    roles = [role.model_dump(exclude_none=True) for role in body.roles]
    rules = [rule.model_dump(exclude_none=True) for rule in body.access_rules]
    rules = [rule if rule.keys() == {"id"} else {"id": new_id(), **rule} for rule in rules]
    made = await call.ctx.db.write(_add, call, row, roles, rules)
    return Reply({"application_credential": {**made, "secret": secret}}, 201)


async def delete(call: Call) -> Reply:
    """``DELETE /users/{user_id}/application_credentials/{id}``."""
    _require_unrestricted(call)
    await call.ctx.db.write(credentials.remove, call.args["user_id"], call.args["id"])
    return Reply(status=204)


async def list_rules(call: Call) -> Reply:
    """``GET /users/{user_id}/access_rules``."""
    filters = {**wanted(call, ("service", "path", "method")), "user_id": call.args["user_id"]}
    found = await call.ctx.db.read(rows.rules, filters)
    return collection(call, "access_rules", [_rule_view(call, row) for row in found])


async def show_rule(call: Call) -> Reply:
    """``GET /users/{user_id}/access_rules/{id}``."""
    row = await call.ctx.db.read(credentials.show_rule, call.args["user_id"], call.args["id"])
    return Reply({"access_rule": _rule_view(call, row)})


def _require_unrestricted(call: Call) -> None:
    if call.who.is_restricted:
        raise Forbidden(
            "Using method 'application_credential' is not allowed for managing additional application "
            "credentials: make one that is unrestricted."
        )


def _end(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        end = as_utc(text)
    except ValueError:
        raise Invalid(f"Invalid expires_at '{text[:64]}': it is a time of ISO 8601.") from None
    if end <= now():
        raise Invalid("Invalid expires_at: it has passed already.")
    return end


# --- the views ----------------------------------------------------------------------------------


def _add(tx: Transaction, call: Call, row: Mapping[str, Any], roles: Any, rules: Any) -> dict[str, Any]:
    return _views(tx, call, [credentials.add(tx, row, call.who.roles, roles, rules)])[0]


def _one(tx: Transaction, call: Call) -> dict[str, Any]:
    return _views(tx, call, [credentials.show(tx, call.args["user_id"], call.args["id"])])[0]


def _all(tx: Transaction, call: Call, filters: Mapping[str, object]) -> list[dict[str, Any]]:
    return _views(tx, call, rows.matching(tx, filters))


def _views(tx: Transaction, call: Call, found: Sequence[Row]) -> list[dict[str, Any]]:
    roles = grants.matching(tx, {})
    rules = rows.rules_of(tx, {rule_id for row in found for rule_id in row["access_rule_ids"]})
    return [_view(call, row, roles, rules) for row in found]


def _view(call: Call, row: Row, known_roles: Sequence[Row], known_rules: Sequence[Row]) -> dict[str, Any]:
    """A credential as the API shows it, with those of its roles that there are; its secret is shown once."""
    rules = [
        {name: rule[name] for name in ("id", "service", "path", "method")}
        for rule in known_rules
        if rule["id"] in row["access_rule_ids"]
    ]
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "project_id": row["project_id"],
        "user_id": row["user_id"],
        "expires_at": moment(row["expires_at"]),
        "unrestricted": row["unrestricted"],
        "system": None,
        "roles": [plain_view(role) for role in known_roles if role["id"] in row["role_ids"]],
        **({"access_rules": rules} if rules else {}),
        "links": {"self": link(call, "users", row["user_id"], "application_credentials", row["id"])},
    }


def _rule_view(call: Call, row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("id", "service", "path", "method")},
        "links": {"self": link(call, "users", row["user_id"], "access_rules", row["id"])},
    }


_PATH = "/users/{user_id}/application_credentials"
_RULES = "/users/{user_id}/access_rules"

ROUTES = (
    Route("GET", _PATH, list_, Rule("identity:list_application_credentials", READER_OR_SELF)),
    Route("POST", _PATH, create, Rule("identity:create_application_credential", SELF)),
    Route("GET", _PATH + "/{id}", show, Rule("identity:get_application_credential", READER_OR_SELF)),
    Route("DELETE", _PATH + "/{id}", delete, Rule("identity:delete_application_credential", ADMIN_OR_SELF)),
    Route("GET", _RULES, list_rules, Rule("identity:list_access_rules", READER_OR_SELF)),
    Route("GET", _RULES + "/{id}", show_rule, Rule("identity:get_access_rule", READER_OR_SELF)),
    Route(
        "DELETE",
        _RULES + "/{id}",
        writes(credentials.remove_rule, 204, scoped=False),
        Rule("identity:delete_access_rule", ADMIN_OR_SELF),
    ),
)

"""``/users``."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pumice.api.call import Call, Reply
from pumice.api.identity import projects
from pumice.api.identity.checks import MANAGER_INSIDE, READER_INSIDE, READER_INSIDE_OR_SELF
from pumice.api.identity.lists import (
    Changes,
    Kept,
    Name,
    collection,
    expiring,
    link,
    listing,
    moment,
    must_stay,
    wanted,
)
from pumice.api.identity.reach import within_reach
from pumice.api.identity.resource import routes
from pumice.api.policy import Rule
from pumice.api.routing import Route, showing
from pumice.identity import lockout, options, passwords, users
from pumice.identity.token import REFUSED
from pumice.model.errors import Unauthenticated
from pumice.store.users import Row, password_hash

Password = Annotated[str, Field(min_length=1, max_length=passwords.LONGEST)]


FEDERATED = {"idp_id", "protocol_id", "unique_id"}
"""Filters for users of other identity providers, of whom there are none."""

CREATE = Rule("identity:create_user", MANAGER_INSIDE)


class UserOptions(BaseModel):
    """What of a user can be set beside its columns; null unsets."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    ignore_change_password_upon_first_use: bool | None = None
    ignore_password_expiry: bool | None = None
    ignore_lockout_failure_attempts: bool | None = None
    ignore_user_inactivity: bool | None = None
    lock_password: bool | None = None
    multi_factor_auth_enabled: bool | None = None
    multi_factor_auth_rules: list[list[str]] | None = None

    @field_validator("multi_factor_auth_rules")
    @classmethod
    def _says_each_once(cls, rules: list[list[str]] | None) -> list[list[str]] | None:
        each = [*(rules or ()), rules or ()]
        if any(one in several[:place] for several in each for place, one in enumerate(several)):
            raise ValueError("Neither a set of methods nor a method in one may be said twice")
        if [] in (rules or ()):
            raise ValueError("A set of methods must not be empty")
        return rules


class Create(Kept):
    """What a new user may have; other keys are kept."""

    model_config = ConfigDict(hide_input_in_errors=True)

    name: Annotated[str, Name]
    domain_id: str | None = None
    password: Password | None = None
    enabled: bool = True
    options: UserOptions = UserOptions()
    description: str | None = None
    email: Annotated[str, Field(max_length=255)] | None = None
    default_project_id: Annotated[str, Field(max_length=36)] | None = None


class Update(Changes):
    """What of a user may change; other keys are kept."""

    model_config = ConfigDict(hide_input_in_errors=True)

    name: Annotated[str, Name] = ""
    password: Password | None = None
    enabled: bool = True
    options: UserOptions = UserOptions()
    description: str | None = None
    email: Annotated[str, Field(max_length=255)] | None = None
    default_project_id: Annotated[str, Field(max_length=36)] | None = None


class ChangePassword(BaseModel):
    """The body with which users give themselves another password."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    original_password: Password
    password: Password


async def list_(call: Call) -> Reply:
    """``GET /users``."""
    filters = within_reach(call, wanted(call, ("name", "domain_id", "enabled")))
    rows = await call.ctx.db.read(users.matching, filters) if filters is not None else ()
    if call.query.keys() & FEDERATED:
        rows = ()
    return collection(call, "users", expiring(call, [view(call, row) for row in rows]))


async def create(call: Call) -> Reply:
    """``POST /users``."""
    body = await call.parse(Create, "user")
    domain_id = body.domain_id or call.who.domain_id or "default"
    call.policy.require(CREATE, call.who, domain_id=domain_id)
    row = {**body.row(), "domain_id": domain_id, "password_expires_at": None}
    row["password_hash"] = await _hash(row.pop("password"))
    made = await call.ctx.db.write(users.add, row)
    return Reply({"user": view(call, made)}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /users/{user_id}``."""
    body = await call.parse(Update, "user")
    before = await call.ctx.db.read(users.show, call.args["user_id"])
    values, extra = body.given(), body.extra()
    for column in ("id", "domain_id"):
        must_stay("a user", column, before[column], extra)
    if "password" in values:
        values["password_hash"] = await _hash(values.pop("password"))
    row = await call.ctx.db.write(users.change, before["id"], values, extra)
    return Reply({"user": view(call, row)})


async def change_password(call: Call) -> Reply:
    """``POST /users/{user_id}/password``: needs no token, for it shows the password instead."""
    body = await call.parse(ChangePassword, "user")
    before = await call.ctx.db.read(password_hash, call.args["user_id"])
    is_right = lockout.matches(call.ctx.db, call.args["user_id"], body.original_password, before)
    if not await call.unless_gone(is_right):
        raise Unauthenticated(REFUSED)
    after = await passwords.hash_password(body.password)
    await call.ctx.db.write(users.change_password, call.args["user_id"], before, after)
    return Reply(status=204)


def view(call: Call, row: Row) -> dict[str, Any]:
    """A user as the API shows it: what was never set is left out."""
    optional = ("description", "email", "default_project_id")
    return {
        **row["extra"],
        "options": options.of(row),
        **{column: row[column] for column in optional if row[column] is not None},
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "enabled": row["enabled"],
        "password_expires_at": moment(row["password_expires_at"]),
        "links": {"self": link(call, "users", row["id"])},
    }


async def _hash(password: str | None) -> str | None:
    return None if password is None else await passwords.hash_password(password)


PROJECTS = listing("projects", users.projects_of, projects.view, "name", "domain_id", "enabled")
ROUTES = (
    *routes(
        "user",
        arg="user_id",
        list=list_,
        create=create,
        show=showing("user", users.show, view, scoped=False),
        update=update,
        remove=users.remove,
        readers=READER_INSIDE,
        getters=READER_INSIDE_OR_SELF,
        writers=MANAGER_INSIDE,
    ),
    Route("POST", "/users/{user_id}/password", change_password, None),
    Route(
        "GET",
        "/users/{user_id}/projects",
        PROJECTS,
        Rule("identity:list_user_projects", READER_INSIDE_OR_SELF),
    ),
)

"""Types of groups, and their specs key by key (api-ref, "Group types", "Group type specs")."""

from operator import attrgetter
from typing import Annotated, Any

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from pumice.api import booleans
from pumice.api.call import Call, Reply, Version, check
from pumice.api.collection import Collection, nothing
from pumice.api.faults import HttpError
from pumice.api.fields import Body, Boolean, Key, NotBlank, Text
from pumice.api.policy import ADMIN, ANYBODY, Rule
from pumice.api.routing import Route, writes
from pumice.api.short_lists import read_whole, texts
from pumice.catalog import group_types as catalog
from pumice.model.errors import Invalid
from pumice.model.group import GroupType
from pumice.model.scope import INTERNAL
from pumice.store import group_types

RULE = "group:group_types"
SEES_SPECS = Rule("group:access_group_types_specs", ADMIN)
SINCE: Version = (3, 11)
SpecKey = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_:.-]{1,255}$")]


def _visibility(call: Call) -> dict[str, bool | None]:
    """Which visibility an administrator asks for; tenants see the public ones alone. Raises ``Invalid``."""
    return {"is_public": booleans.is_public(call) if call.who.is_admin else True}


LIST = Collection(
    texts(attrgetter, "id", "name", "description", "is_public", "created_at", "updated_at"),
    nothing,
    read_whole("Group type", lambda tx, _who, is_public: group_types.every(tx, is_public)),
    told=_visibility,
    links="group_type_links",
)


class NewGroupType(Body):
    """What may be asked of a new type."""

    name: NotBlank
    description: Text | None = None
    group_specs: dict[Key, Text | None] = Field(default_factory=dict)
    is_public: Boolean = True


class Changes(Body):
    """What may be changed of a type."""

    name: Text | None = None
    description: Text | None = None
    is_public: Boolean | None = None


class SpecsBody(Body):
    """Specs that are added or changed."""

    group_specs: dict[SpecKey, Text | None]


_SPECS = TypeAdapter(dict[SpecKey, Text | None])


def view(call: Call, kind: GroupType) -> dict[str, Any]:
    """A type as every answer has it."""
    shown: dict[str, Any] = {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
    }
    if call.policy.allows(SEES_SPECS, call.who):
        shown["group_specs"] = kind.group_specs
    return shown


async def show(call: Call) -> Reply:
    """Show one type. There is no ``default`` one, as where Cinder's setting names none."""
    if call.args["id"] == "default":
        raise HttpError(404, "Default group type can not be found.")
    kind = await call.ctx.db.read(group_types.get, call.who, call.args["id"])
    return Reply({"group_type": view(call, kind)})


async def create(call: Call) -> Reply:
    """A new type: 202."""
    asked = await call.parse_only(NewGroupType, "group_type")
    kind = await call.ctx.db.write(
        catalog.create, asked.name, asked.description, is_public=asked.is_public, specs=asked.group_specs
    )
    return Reply({"group_type": view(call, kind)}, 202)


async def update(call: Call) -> Reply:
    """Change a type's name, description or visibility."""
    given = (await call.parse_only(Changes, "group_type")).model_dump(exclude_none=True)
    if not given:
        raise Invalid("Specify group type name, description or a combination thereof.")
    if "name" in given and not given["name"].strip():
        raise Invalid("Group type name can not be empty.")
    kind = await call.ctx.db.write(catalog.update, call.args["id"], given)
    return Reply({"group_type": view(call, kind)})


async def specs(call: Call) -> Reply:
    """List the specs of a group type."""
    kind = await call.ctx.db.read(group_types.get, INTERNAL, call.args["id"])
    return Reply({"group_specs": kind.group_specs})


async def spec(call: Call) -> Reply:
    """Show one spec of a group type."""
    type_id, key = call.args["id"], call.args["key"]
    found = (await call.ctx.db.read(group_types.get, INTERNAL, type_id)).group_specs
    if key not in found:
        raise HttpError(404, f"Group Type {type_id} has no extra spec with key {key}.")
    return Reply({key: found[key]})


async def set_specs(call: Call) -> Reply:
    """Add specs, or change them: 202, with what was asked."""
    given = check(SpecsBody, await call.json()).group_specs
    await call.ctx.db.write(catalog.set_specs, call.args["id"], given)
    return Reply({"group_specs": given}, 202)


async def set_spec(call: Call) -> Reply:
    """Add one spec, or change it: 200, with what was asked."""
    try:
        given = _SPECS.validate_python(await call.json())
    except ValidationError:
        raise Invalid("Malformed request body: it must be an object with one group spec.") from None
    if len(given) != 1 or call.args["key"] not in given:
        raise Invalid("Request body and URI mismatch")
    await call.ctx.db.write(catalog.set_specs, call.args["id"], given)
    return Reply(given)


async def forget_spec(call: Call) -> Reply:
    """Forget one spec: 202."""
    type_id, key = call.args["id"], call.args["key"]
    if not await call.ctx.db.write(catalog.forget_spec, type_id, key):
        raise HttpError(404, f"Group Type {type_id} has no specs with key {key}.")
    return Reply(status=202)


_ALL, _ONE = "/group_types", "/group_types/{id}"
_SPECS_OF, _SPEC = f"{_ONE}/group_specs", f"{_ONE}/group_specs/{{key}}"
_VIEW = (SEES_SPECS,)

ROUTES = (
    Route(
        "GET",
        _ALL,
        LIST.answers("group_types", view),
        Rule(f"{RULE}:get_all", ANYBODY),
        since=SINCE,
        also=_VIEW,
    ),
    Route("POST", _ALL, create, Rule(f"{RULE}:create", ADMIN), since=SINCE, also=_VIEW),
    Route("GET", _ONE, show, Rule(f"{RULE}:get", ANYBODY), since=SINCE, also=_VIEW),
    Route("PUT", _ONE, update, Rule(f"{RULE}:update", ADMIN), since=SINCE, also=_VIEW),
    Route("DELETE", _ONE, writes(catalog.delete, scoped=False), Rule(f"{RULE}:delete", ADMIN), since=SINCE),
    Route("GET", _SPECS_OF, specs, Rule(f"{RULE}_specs:get_all", ADMIN), since=SINCE),
    Route("POST", _SPECS_OF, set_specs, Rule(f"{RULE}_specs:create", ADMIN), since=SINCE),
    Route("GET", _SPEC, spec, Rule(f"{RULE}_specs:get", ADMIN), since=SINCE),
    Route("PUT", _SPEC, set_spec, Rule(f"{RULE}_specs:update", ADMIN), since=SINCE),
    Route("DELETE", _SPEC, forget_spec, Rule(f"{RULE}_specs:delete", ADMIN), since=SINCE),
)

"""Volume types, and who may use the private ones (api-ref, "Volume types")."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection
from pumice.api.fields import Body, Boolean, Key, Name, NotBlank, Text
from pumice.api.policy import ADMIN, MEMBER, READER, Rule
from pumice.api.routing import Route, writes
from pumice.api.short_lists import read_whole, texts
from pumice.api.volume import type_filters
from pumice.api.volume.filters import unmet
from pumice.api.volume.name_cache import NameCache
from pumice.catalog import volume_types
from pumice.model.errors import Invalid, NotFound
from pumice.model.volume import VolumeType
from pumice.store import types
from pumice.store.database import Transaction

RULE = "volume_extension:type_"
ACCESS_RULE = "volume_extension:volume_type_access"
SEES_HIDDEN_SPECS = Rule("volume_extension:types_extra_specs:read_sensitive", ADMIN)
SEES_SPECS = Rule("volume_extension:access_types_extra_specs", READER)
SEES_QOS = Rule("volume_extension:access_types_qos_specs_id", ADMIN)
SEES_ACCESS = Rule(ACCESS_RULE, MEMBER)
VIEW = (SEES_HIDDEN_SPECS, SEES_SPECS, SEES_QOS, SEES_ACCESS)
"""What a type is shown by, part by part."""
USER_VISIBLE = frozenset({"RESKEY:availability_zones", "multiattach", "replication_enabled"})
"""The extra specs that tenants may read."""


class NewType(Body):
    """What may be asked of a new type."""

    name: NotBlank
    description: Name = None
    extra_specs: dict[Key, Text | None] = Field(default_factory=dict)
    is_public: Boolean = Field(True, alias="os-volume-type-access:is_public")


class Changes(Body):
    """What may be changed of a type."""

    name: NotBlank | None = None
    description: Name = None
    is_public: Boolean | None = None


class Access(Body):
    """The project that is given access to a type, or loses it."""

    project: Text = Field(min_length=1)


def visible_specs(call: Call, kind: VolumeType) -> dict[str, str]:
    """The extra specs that the caller may read."""
    if call.policy.allows(SEES_HIDDEN_SPECS, call.who):
        return kind.extra_specs
    return {key: value for key, value in kind.extra_specs.items() if key in USER_VISIBLE}


def changed(call: Call, kind: VolumeType) -> dict[str, Any]:
    """A type as an update answers."""
    shown: dict[str, Any] = {
        "id": kind.id,
        "name": kind.name,
        "is_public": kind.is_public,
        "description": kind.description,
    }
    if call.policy.allows(SEES_SPECS, call.who):
        shown["extra_specs"] = visible_specs(call, kind)
    return shown


def made(call: Call, kind: VolumeType) -> dict[str, Any]:
    """A type as a create answers."""
    return _with_access(call, kind, changed(call, kind))


def view(call: Call, kind: VolumeType) -> dict[str, Any]:
    """A type as show and lists have it."""
    shown = changed(call, kind)
    if call.policy.allows(SEES_QOS, call.who):
        shown["qos_specs_id"] = kind.qos_specs_id
    return _with_access(call, kind, shown)


def _with_access(call: Call, kind: VolumeType, shown: dict[str, Any]) -> dict[str, Any]:
    if call.policy.allows(SEES_ACCESS, call.who):
        shown["os-volume-type-access:is_public"] = kind.is_public
    return shown


class Types:
    """The handlers. Whoever changes a name has the ``names`` forgotten."""

    def __init__(self, names: NameCache) -> None:
        self._names = names
        one = "/types/{id}"
        self.routes = (
            Route(
                "GET", "/types", LIST.answers("volume_types", view), Rule(f"{RULE}get_all", READER), also=VIEW
            ),
            Route("POST", "/types", self.create, Rule(f"{RULE}create", ADMIN), also=(*VIEW[:2], SEES_ACCESS)),
            Route("GET", one, show, Rule(f"{RULE}get", READER), also=VIEW),
            Route("PUT", one, self.update, Rule(f"{RULE}update", ADMIN), also=VIEW[:2]),
            Route("DELETE", one, self.remove, Rule(f"{RULE}delete", ADMIN)),
            Route(
                "GET", f"{one}/os-volume-type-access", access, Rule(f"{ACCESS_RULE}:get_all_for_type", ADMIN)
            ),
            Route(
                "POST",
                f"{one}/action",
                writes(volume_types.add_access, scoped=False, body=Access),
                Rule(f"{ACCESS_RULE}:addProjectAccess", ADMIN),
                action="addProjectAccess",
            ),
            Route(
                "POST",
                f"{one}/action",
                writes(volume_types.remove_access, scoped=False, body=Access),
                Rule(f"{ACCESS_RULE}:removeProjectAccess", ADMIN),
                action="removeProjectAccess",
            ),
        )

    async def create(self, call: Call) -> Reply:
        """A new type: 200."""
        asked = await call.parse_only(NewType, "volume_type")
        specs = {key: value for key, value in asked.extra_specs.items() if value is not None}
        kind = await call.ctx.db.write(
            volume_types.create,
            asked.name,
            asked.description,
            is_public=asked.is_public,
            extra_specs=specs,
        )
        return Reply({"volume_type": made(call, kind)})

    async def update(self, call: Call) -> Reply:
        """Change a type's name, description or visibility."""
        asked = await call.parse_only(Changes, "volume_type")
        given = asked.model_dump(exclude_none=True)
        if not given:
            raise Invalid("Specify volume type name, description, is_public or a combination thereof.")
        if "name" in given and not given["name"].strip():
            raise Invalid("Volume type name can not be empty.")
        kind = await call.ctx.db.write(volume_types.update, call.args["id"], given)
        self._names.forget()
        return Reply({"volume_type": changed(call, kind)})

    async def remove(self, call: Call) -> Reply:
        """Forget a type that no volume has: 202."""
        await call.ctx.db.write(volume_types.delete, call.args["id"], call.ctx.tunables)
        self._names.forget()
        return Reply(status=202)


def _conditions(call: Call) -> list[Callable[[VolumeType], bool]]:
    if unmet(call, "volume_type", since=(3, 52)):
        return [lambda _: False]
    return [lambda kind: type_filters.passes(call, kind, visible_specs(call, kind))]


LIST = Collection(
    texts(attrgetter, "id", "name", "description", "is_public", "created_at", "updated_at"),
    _conditions,
    read_whole("Volume type", types.visible),
    told=lambda call: {"is_public": type_filters.is_public(call)},
    links="volume_type_links",
)


async def show(call: Call) -> Reply:
    """Show one type, or the ``default`` one."""
    type_id = call.args["id"]
    if type_id == "default":
        kind = await call.ctx.db.read(volume_types.for_new_volume, call.who, None, call.ctx.tunables)
    else:
        kind = await call.ctx.db.read(volume_types.by_id, call.who, type_id)
    return Reply({"volume_type": view(call, kind)})


async def access(call: Call) -> Reply:
    """The projects that may use a private type."""
    type_id = call.args["id"]
    projects = await call.ctx.db.read(_projects, call, type_id)
    rows = [{"volume_type_id": type_id, "project_id": project} for project in projects]
    return Reply({"volume_type_access": rows})


def _projects(tx: Transaction, call: Call, type_id: str) -> Sequence[str]:
    if volume_types.by_id(tx, call.who, type_id).is_public:
        raise NotFound("Access list not available for public volume types:", type_id)
    return sorted(types.projects_with_access(tx, type_id))

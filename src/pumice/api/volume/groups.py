"""Groups of volumes (api-ref, "Generic volume groups")."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from pumice.api.booleans import flag
from pumice.api.call import Call, Reply
from pumice.api.collection import Collection
from pumice.api.fields import Body, Boolean, Named, Text, Unique, Uuid
from pumice.api.policy import ADMIN, MEMBER, READER, Rule
from pumice.api.routing import Handler, Route, writes
from pumice.api.volume import filters
from pumice.api.volume.filters import Filters
from pumice.api.volume.resets import resets
from pumice.api.volume.volume_view import wire_time
from pumice.catalog import group_types
from pumice.model.errors import Invalid
from pumice.model.group import Group
from pumice.model.scope import Scope
from pumice.model.states import GroupStatus
from pumice.model.tunables import Tunables
from pumice.operations.at_once import AtOnce
from pumice.store import group_snapshots, groups, quotas
from pumice.store.conditions import GROUPS
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes.groups import copy, create, delete
from pumice.volumes.groups import update as change
from pumice.volumes.groups.create import Wanted
from pumice.volumes.groups.replicate import (
    DISABLE,
    ENABLE,
    FAIL_OVER,
    LIST_TARGETS,
    STATUS,
    Wish,
    refuse,
)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("It must not be empty")
    return value.strip()


class NewGroup(Named):
    """What may be asked of a new group."""

    group_type: Annotated[Text, AfterValidator(_not_blank)]
    volume_types: Annotated[list[Text], Field(min_length=1), Unique]
    availability_zone: Text | None = None


class Changes(Named):
    """What may be changed of a group; ids of volumes with commas between them."""

    add_volumes: Text | None = None
    remove_volumes: Text | None = None

    def wanted(self) -> change.Changes:
        """The changes as the verb takes them."""
        added, removed = _ids_in(self.add_volumes), _ids_in(self.remove_volumes)
        return change.Changes(self.name, self.description, add=added, remove=removed)


def _ids_in(text: str | None) -> list[str]:
    """The ids between the commas, each once."""
    return list(dict.fromkeys((text or "").strip(",").split(","))) if text else []


class Deletion(Body):
    """Whether the group's volumes are deleted too."""

    with_volumes: Boolean = Field(False, alias="delete-volumes")


PROJECT = Rule("group:group_project_attribute", ADMIN)
COLUMNS = MappingProxyType({name: name for name in groups.COLUMNS})
"""What groups can be sorted and filtered by, and the columns that stand for it."""
FILTERS = Filters(
    "group",
    GROUPS,
    filters.plain(GROUPS, COLUMNS),
    like=("name", "status", "description"),
    besides=frozenset({"list_volume"}),
)
LIST = Collection(
    COLUMNS,
    lambda call: [*FILTERS.parse_query(call), groups.IS_NEWER],
    groups.page,
    everywhere=filters.asks_for_all,
    links="group_links",
)


def plain(_: Call, group: Group) -> dict[str, Any]:
    """A group in the plain list, and as a create answers."""
    return {"id": group.id, "name": group.name}


def full(call: Call, group: Group, volumes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A group in full; with the ids of its volumes where they are told."""
    shown = plain(call, group) | {
        "status": group.status,
        "availability_zone": group.availability_zone,
        "created_at": wire_time(group.created_at),
        "description": group.description,
        "group_type": group.group_type_id,
        "volume_types": group.volume_types,
    }
    if call.version >= (3, 14):
        shown |= {"group_snapshot_id": group.group_snapshot_id, "source_group_id": group.source_group_id}
    if group.id in volumes:
        shown["volumes"] = volumes[group.id]
    if call.version >= (3, 38):
        shown["replication_status"] = STATUS
    if call.version >= (3, 58) and call.policy.allows(PROJECT, call.who):
        shown["project_id"] = group.project_id
    return shown


def _viewer(tx: Transaction, call: Call, found: Sequence[Group]) -> Callable[[Group], dict[str, Any]]:
    """Groups in full, since 3.25 with their volumes if the query asks for them. Raises ``Invalid``."""
    tells = call.version >= (3, 25) and flag(call, "list_volume")
    volumes = groups.ids_of_volumes(tx, [group.id for group in found]) if tells else {}
    return lambda group: full(call, group, volumes)


async def show(call: Call) -> Reply:
    """Show one group in full."""

    def read(tx: Transaction) -> dict[str, Any]:
        group = get_group(tx, call.who, call.args["id"])
        return _viewer(tx, call, [group])(group)

    return Reply({"group": await call.ctx.db.read(read)})


def get_group(tx: Transaction, who: Scope, group_id: str) -> Group:
    """A group that this API may show and change. Raises ``NotFound`` or ``Invalid``."""
    group = groups.get(tx, who, group_id)
    group_types.refuse_older(tx, group.group_type_id)
    return group


async def create_group(call: Call) -> Reply:
    """Create a group: 202, a few words of it."""
    asked = await call.parse_only(NewGroup, "group")
    call.require_project("A group")
    wanted = Wanted(
        asked.group_type, asked.volume_types, asked.name, asked.description, asked.availability_zone
    )
    group = await call.ctx.db.write(_create, call.who, wanted, call.ctx.tunables)
    return Reply({"group": plain(call, group)}, 202)


@serialized(quotas.turn)
def _create(tx: Transaction, who: Scope, wanted: Wanted, tunables: Tunables) -> Group:
    group_types.refuse_older(tx, create.find_type(tx, who, wanted.group_type).id)
    return create.accept(tx, who, wanted, tunables)


async def update(call: Call) -> Reply:
    """Change a group's name, description or volumes: 202."""
    asked = await call.parse_only(Changes, "group")
    if not asked.model_fields_set:
        raise Invalid("Invalid input: name, description, add_volumes or remove_volumes is a required property.")

    def work(tx: Transaction) -> None:
        change.update(tx, call.who, get_group(tx, call.who, call.args["id"]).id, asked.wanted())

    await call.ctx.db.write(work)
    return Reply(status=202)


def _remove(tx: Transaction, who: Scope, group_id: str, tunables: Tunables, with_volumes: bool) -> None:
    delete.accept(tx, who, get_group(tx, who, group_id).id, tunables, with_volumes=with_volumes)


_RESET = resets(
    tuple(GroupStatus),
    groups.overrule,
    AtOnce.GROUP_RESET_STATUS,
    "Invalid Group Status: Group status: {word} is invalid, valid status are: {states}.",
)


class Source(Named):
    """The source of a new group: another group, or a snapshot of one."""

    group_snapshot_id: Uuid | None = None
    source_group_id: Uuid | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Source":
        if (self.group_snapshot_id is None) is (self.source_group_id is None):
            raise ValueError("exactly one of group_snapshot_id and source_group_id is required")
        return self


async def create_from_source(call: Call) -> Reply:
    """Create a group from another, or from a snapshot of one: 202, a few words of it."""
    asked = await call.parse(Source)
    call.require_project("A group")
    wanted = copy.Wanted(asked.name, asked.description, asked.group_snapshot_id, asked.source_group_id)

    group = await call.ctx.db.write(_copy, call.who, wanted, call.ctx.tunables)
    return Reply({"group": plain(call, group)}, 202)


@serialized(quotas.turn)
def _copy(tx: Transaction, who: Scope, wanted: copy.Wanted, tunables: Tunables) -> Group:
    if wanted.source_group_id:
        get_group(tx, who, wanted.source_group_id)
    else:
        one = group_snapshots.get(tx, who, wanted.group_snapshot_id or "")
        group_types.refuse_older(tx, one.group_type_id)
    return copy.accept(tx, who, wanted, tunables)


class Nothing(Body):
    """The body of an action without parameters; what else it holds is ignored."""

    model_config = ConfigDict(extra="ignore")


class Failover(Body):
    """How a group fails over."""

    allow_attached_volume: Boolean = False
    secondary_backend_id: Text | None = None


def _replicates(action: str, wish: Wish, body: type[Body] = Nothing) -> Route:
    """A route that asks for replication, which no backend has."""

    async def handler(call: Call) -> Reply:
        await call.parse(body)
        await call.ctx.db.read(refuse, call.who, call.args["id"], wish)
        raise AssertionError("it is always refused")

    return _action(action, handler, Rule(f"group:{action}", MEMBER), 38)


def _action(name: str, handler: Handler, rule: Rule, minor: int) -> Route:
    return Route("POST", "/groups/{id}/action", handler, rule, since=(3, minor), action=name)


ROUTES = (
    Route("GET", "/groups", LIST.answers("groups", plain), Rule("group:get_all", READER), since=(3, 13)),
    Route(
        "GET",
        "/groups/detail",
        LIST.answers_with("groups", _viewer),
        Rule("group:get_all", READER),
        since=(3, 13),
        also=(PROJECT,),
    ),
    Route("POST", "/groups", create_group, Rule("group:create", MEMBER), since=(3, 13)),
    Route("GET", "/groups/{id}", show, Rule("group:get", READER), since=(3, 13), also=(PROJECT,), live=True),
    Route("PUT", "/groups/{id}", update, Rule("group:update", MEMBER), since=(3, 13)),
    Route(
        "POST",
        "/groups/action",
        create_from_source,
        Rule("group:create", MEMBER),
        since=(3, 14),
        action="create-from-src",
    ),
    _action("delete", writes(_remove, body=Deletion, tuned=True), Rule("group:delete", MEMBER), 13),
    _replicates("enable_replication", ENABLE),
    _replicates("disable_replication", DISABLE),
    _replicates("failover_replication", FAIL_OVER, Failover),
    _replicates("list_replication_targets", LIST_TARGETS),
    _action("reset_status", _RESET, Rule("group:reset_status", ADMIN), 20),
)

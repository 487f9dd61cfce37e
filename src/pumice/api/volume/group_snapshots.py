"""Snapshots of groups (api-ref, "Group snapshots")."""

from types import MappingProxyType
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection
from pumice.api.fields import Named, Uuid
from pumice.api.policy import ADMIN, MEMBER, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.api.volume import filters
from pumice.api.volume.filters import Filters
from pumice.api.volume.groups import get_group
from pumice.api.volume.resets import resets
from pumice.api.volume.volume_view import wire_time
from pumice.catalog import group_types
from pumice.model.group import GroupSnapshot
from pumice.model.scope import Scope
from pumice.model.states import GroupSnapshotStatus
from pumice.model.tunables import Tunables
from pumice.operations.at_once import AtOnce
from pumice.store import group_snapshots, quotas
from pumice.store.conditions import GROUP_SNAPSHOTS
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes.groups import delete_snapshot, snapshot


class NewGroupSnapshot(Named):
    """What may be asked of a new group snapshot."""

    group_id: Uuid


PROJECT = Rule("group:group_snapshot_project_attribute", ADMIN)
COLUMNS = MappingProxyType({name: name for name in group_snapshots.COLUMNS})
"""What group snapshots can be sorted and filtered by, and the columns that stand for it."""
FILTERS = Filters(
    "group_snapshot",
    GROUP_SNAPSHOTS,
    filters.plain(GROUP_SNAPSHOTS, COLUMNS),
    like=("name", "status", "description"),
)
LIST = Collection(
    COLUMNS,
    lambda call: [*FILTERS.parse_query(call), group_snapshots.IS_NEWER],
    group_snapshots.page,
    everywhere=filters.asks_for_all,
    since=(3, 29),
    links="group_snapshot_links",
)


def plain(_: Call, one: GroupSnapshot) -> dict[str, Any]:
    """A group snapshot in the plain list."""
    return {"id": one.id, "name": one.name}


def full(call: Call, one: GroupSnapshot) -> dict[str, Any]:
    """A group snapshot in full."""
    shown = plain(call, one) | {
        "group_id": one.group_id,
        "group_type_id": one.group_type_id,
        "status": one.status,
        "created_at": wire_time(one.created_at),
        "description": one.description,
    }
    if call.version >= (3, 58) and call.policy.allows(PROJECT, call.who):
        shown["project_id"] = one.project_id
    return shown


def _get(tx: Transaction, who: Scope, group_snapshot_id: str) -> GroupSnapshot:
    """A group snapshot, but none that consistency groups alone may show. Raises ``NotFound`` or ``Invalid``."""
    one = group_snapshots.get(tx, who, group_snapshot_id)
    group_types.refuse_older(tx, one.group_type_id)
    return one


async def create(call: Call) -> Reply:
    """Make a snapshot of a group: 202, a few words of it."""
    asked = await call.parse_only(NewGroupSnapshot, "group_snapshot")
    made = await call.ctx.db.write(_create, call.who, asked, call.ctx.tunables)
    return Reply({"group_snapshot": plain(call, made) | {"group_type_id": made.group_type_id}}, 202)


@serialized(quotas.turn)
def _create(tx: Transaction, who: Scope, asked: NewGroupSnapshot, tunables: Tunables) -> GroupSnapshot:
    group = get_group(tx, who, asked.group_id)
    return snapshot.accept(tx, who, group.id, name=asked.name, description=asked.description, tunables=tunables)


def _remove(tx: Transaction, who: Scope, group_snapshot_id: str, tunables: Tunables) -> None:
    delete_snapshot.accept(tx, who, _get(tx, who, group_snapshot_id).id, tunables)


_RESET = resets(
    tuple(GroupSnapshotStatus),
    group_snapshots.overrule,
    AtOnce.GROUP_SNAPSHOT_RESET_STATUS,
    "Invalid GroupSnapshot Status: Group snapshot status: {word} is invalid, valid statuses are: {states}.",
)
_ALL, _ONE, _SINCE = "/group_snapshots", "/group_snapshots/{id}", (3, 14)
_READ = Rule("group:get_all_group_snapshots", READER)

ROUTES = (
    Route("GET", _ALL, LIST.answers("group_snapshots", plain), _READ, since=_SINCE),
    Route("GET", f"{_ALL}/detail", LIST.answers("group_snapshots", full), _READ, since=_SINCE, also=(PROJECT,)),
    Route("POST", _ALL, create, Rule("group:create_group_snapshot", MEMBER), since=_SINCE),
    Route(
        "GET",
        _ONE,
        showing("group_snapshot", _get, full),
        Rule("group:get_group_snapshot", READER),
        since=_SINCE,
        also=(PROJECT,),
        live=True,
    ),
    Route(
        "DELETE", _ONE, writes(_remove, tuned=True), Rule("group:delete_group_snapshot", MEMBER), since=_SINCE
    ),
    Route(
        "POST",
        f"{_ONE}/action",
        _RESET,
        Rule("group:reset_group_snapshot_status", ADMIN),
        since=(3, 19),
        action="reset_status",
    ),
)

"""Consistency groups and their snapshots: the older view of groups (api-ref, "Consistency groups").

What is made here is a group of the type ``default_cgsnapshot_type``, which promises snapshots of one moment.
Any group is shown here, as by Cinder; those of that type are shown here alone.
"""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, Pages, nothing
from pumice.api.fields import Body, Boolean, Named, Text, Uuid
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.api.volume import filters, group_snapshots, groups
from pumice.api.volume.volume_view import wire_time
from pumice.model.errors import Invalid
from pumice.model.group import OLDER_TYPE, Group, GroupSnapshot
from pumice.store import group_snapshots as snapshot_rows
from pumice.store import groups as rows
from pumice.volumes.groups import copy, create, delete, delete_snapshot, snapshot
from pumice.volumes.groups import update as change


class NewConsistencyGroup(Named):
    """What may be asked of a new one; names or ids of volume types with commas between them."""

    volume_types: Annotated[Text, Field(min_length=1)]
    availability_zone: Text | None = None


class Deletion(Body):
    """Whether its volumes are deleted too."""

    force: Boolean = False


class Source(Named):
    """The source of a new consistency group: another one, or a snapshot of one."""

    cgsnapshot_id: Uuid | None = None
    source_cgid: Uuid | None = None


class NewCgsnapshot(Named):
    """What may be asked of a new snapshot."""

    consistencygroup_id: Uuid


LIST = Collection(
    groups.COLUMNS,
    lambda call: groups.FILTERS.parse_query(replace(call, version=min(call.version, (3, 30)))),
    rows.page,
    everywhere=filters.asks_for_all,
    links="consistencygroup_links",
)
"""Consistency groups; at no version is an unknown filter refused."""
SNAPSHOTS = Collection(group_snapshots.COLUMNS, nothing, snapshot_rows.page, pages=Pages.LIMITED)


def full(_: Call, group: Group) -> dict[str, Any]:
    """A consistency group in full."""
    return {
        "id": group.id,
        "status": group.status,
        "availability_zone": group.availability_zone,
        "created_at": wire_time(group.created_at),
        "name": group.name,
        "description": group.description,
        "volume_types": group.volume_types,
    }


def full_snapshot(_: Call, one: GroupSnapshot) -> dict[str, Any]:
    """A snapshot of one in full."""
    return {
        "id": one.id,
        "consistencygroup_id": one.group_id,
        "status": one.status,
        "created_at": wire_time(one.created_at),
        "name": one.name,
        "description": one.description,
    }


async def create_group(call: Call) -> Reply:
    """Create one: 202, a few words of it."""
    asked = await call.parse_only(NewConsistencyGroup, "consistencygroup")
    call.require_project("A consistency group")
    kinds = list(dict.fromkeys(asked.volume_types.rstrip(",").split(",")))
    wanted = create.Wanted(OLDER_TYPE, kinds, asked.name, asked.description, asked.availability_zone)
    return _made(call, await call.ctx.db.write(create.accept, call.who, wanted, call.ctx.tunables))


async def create_from_source(call: Call) -> Reply:
    """Create one from another, or from a snapshot of one: 202, a few words of it."""
    asked = await call.parse_only(Source, "consistencygroup-from-src")
    call.require_project("A consistency group")
    if not (asked.cgsnapshot_id or asked.source_cgid):
        raise Invalid(
            f"Either 'cgsnapshot_id' or 'source_cgid' must be provided to create consistency group "
            f"{asked.name} from source."
        )
    if asked.cgsnapshot_id and asked.source_cgid:
        raise Invalid(
            "Cannot provide both 'cgsnapshot_id' and 'source_cgid' to create consistency group "
            f"{asked.name} from source."
        )
    wanted = copy.Wanted(asked.name, asked.description, asked.cgsnapshot_id, asked.source_cgid)
    return _made(call, await call.ctx.db.write(copy.accept, call.who, wanted, call.ctx.tunables))


def _made(call: Call, group: Group) -> Reply:
    return Reply({"consistencygroup": groups.plain(call, group)}, 202)


async def update(call: Call) -> Reply:
    """Change its name, description or volumes: 202."""
    asked = await call.parse_only(groups.Changes, "consistencygroup")
    if not (asked.name or asked.description or asked.add_volumes or asked.remove_volumes):
        raise Invalid(
            "Name, description, add_volumes, and remove_volumes can not be all empty in the request body."
        )
    await call.ctx.db.write(change.update, call.who, call.args["id"], asked.wanted())
    return Reply(status=202)


async def remove_with(call: Call) -> Reply:
    """Delete it, and by ``force`` its volumes: 202."""
    force = (await call.parse_only(Deletion, "consistencygroup")).force
    await call.ctx.db.write(
        lambda tx: delete.accept(tx, call.who, call.args["id"], call.ctx.tunables, with_volumes=force)
    )
    return Reply(status=202)


async def create_snapshot(call: Call) -> Reply:
    """Make a snapshot of one: 202, a few words of it."""
    asked = await call.parse_only(NewCgsnapshot, "cgsnapshot")
    made = await call.ctx.db.write(
        snapshot.accept,
        call.who,
        asked.consistencygroup_id,
        name=asked.name,
        description=asked.description,
        tunables=call.ctx.tunables,
    )
    return Reply({"cgsnapshot": group_snapshots.plain(call, made)}, 202)


_ALL, _ONE = "/consistencygroups", "/consistencygroups/{id}"
_SNAPSHOTS, _SNAPSHOT = "/cgsnapshots", "/cgsnapshots/{id}"
_CREATE, _UPDATE, _DELETE = (Rule(f"group:{verb}", MEMBER) for verb in ("create", "update", "delete"))
_GET_ALL, _GET = Rule("group:get_all", READER), Rule("group:get", READER)
_GET_ALL_SNAPSHOTS = Rule("group:get_all_group_snapshots", READER)

ROUTES = (
    Route("GET", _ALL, LIST.answers("consistencygroups", groups.plain), _GET_ALL),
    Route("GET", f"{_ALL}/detail", LIST.answers("consistencygroups", full), _GET_ALL),
    Route("POST", _ALL, create_group, _CREATE),
    Route("POST", f"{_ALL}/create_from_src", create_from_source, _CREATE),
    Route("GET", _ONE, showing("consistencygroup", rows.get, full), _GET, live=True),
    Route("PUT", _ONE, update, _UPDATE),
    Route("PUT", f"{_ONE}/update", update, _UPDATE),
    Route("POST", f"{_ONE}/delete", remove_with, _DELETE),
    Route("DELETE", _ONE, writes(partial(delete.accept, with_volumes=False), tuned=True), _DELETE),
    Route("GET", _SNAPSHOTS, SNAPSHOTS.answers("cgsnapshots", group_snapshots.plain), _GET_ALL_SNAPSHOTS),
    Route("GET", f"{_SNAPSHOTS}/detail", SNAPSHOTS.answers("cgsnapshots", full_snapshot), _GET_ALL_SNAPSHOTS),
    Route("POST", _SNAPSHOTS, create_snapshot, Rule("group:create_group_snapshot", MEMBER)),
    Route(
        "GET",
        _SNAPSHOT,
        showing("cgsnapshot", snapshot_rows.get, full_snapshot),
        Rule("group:get_group_snapshot", READER),
        live=True,
    ),
    Route(
        "DELETE",
        _SNAPSHOT,
        writes(delete_snapshot.accept, tuned=True),
        Rule("group:delete_group_snapshot", MEMBER),
    ),
)

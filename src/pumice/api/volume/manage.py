"""Bytes that lie in a pool already: list them, make volumes or snapshots of them, let go of volumes.

api-ref, "Volume manage extension", "Snapshot manage extension". What lies there may become either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, Unknown, nothing
from pumice.api.fields import Boolean, Metadata, Named, Text, Uuid
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Handler, Route, writes
from pumice.api.short_lists import read_whole
from pumice.api.volume import snapshot_view
from pumice.api.volume.volume_view import Shown, VolumeView
from pumice.api.volume.waiting import ended
from pumice.model.errors import Invalid
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.model.units import gib_to_hold
from pumice.store import types
from pumice.store.database import Transaction
from pumice.volumes import manage, manageable, unmanage
from pumice.volumes.snapshots import manage as snapshot_manage

RULE = Rule("volume_extension:volume_manage", ADMIN)
LIST_RULE = Rule("volume_extension:list_manageable", ADMIN)
SNAPSHOT_RULE = Rule("snapshot_extension:snapshot_manage", ADMIN)
LIST_SNAPSHOTS_RULE = Rule("snapshot_extension:list_manageable", ADMIN)

Row = dict[str, Any]


def _name(row: Row) -> str:
    return str(row["reference"]["source-name"])


LIST = Collection[Row](
    {"reference": _name, "size": itemgetter("size")},
    nothing,
    read_whole("Manageable", lambda tx, _who, operation_id: _found(tx, operation_id), _name),
    by="reference",
    unknown=Unknown.LAST,
)
PLAIN = ("reference", "size", "safe_to_manage")
FULL = (*PLAIN, "reason_not_safe", "cinder_id", "extra_info")


class Existing(Named):
    """A disk, and what the volume shall be like."""

    host: Text | None = None
    cluster: Text | None = None
    ref: dict[str, Any] | Text
    volume_type: Text | None = None
    availability_zone: Text | None = None
    bootable: Boolean = False
    metadata: Metadata | None = None


class ExistingSnapshot(Named):
    """Bytes, and the volume that they shall be a snapshot of."""

    volume_id: Uuid
    ref: dict[str, Any] | Text | None
    metadata: Metadata | None = None


async def create(call: Call) -> Reply:
    """Manage a disk: 202, the volume in ``managing``."""
    asked = await call.parse_only(Existing, "volume")
    call.require_project("A volume")
    shown = await call.ctx.db.write(_manage, call.who, asked, call.ctx.tunables)
    return Reply({"volume": VolumeView(call, shown).changed(shown.volumes[0])}, 202)


def _manage(tx: Transaction, who: Scope, asked: Existing, tunables: Tunables) -> Shown:
    existing = manage.Existing(
        pool=_one_of(asked.host, asked.cluster),
        name=_source_name(asked.ref),
        display_name=asked.name,
        description=asked.description,
        volume_type=asked.volume_type or None,
        availability_zone=asked.availability_zone or None,
        bootable=asked.bootable,
        metadata=asked.metadata or {},
    )
    volume = manage.accept(tx, who, existing, tunables)
    return Shown([volume], {}, types.names(tx), {})


async def create_snapshot(call: Call) -> Reply:
    """Manage bytes as a snapshot: 202, the snapshot in ``creating``."""
    asked = await call.parse_only(ExistingSnapshot, "snapshot")
    existing = snapshot_manage.Existing(
        asked.volume_id, _source_name(asked.ref), asked.name, asked.description, asked.metadata
    )
    snapshot = await call.ctx.db.write(snapshot_manage.accept, call.who, existing, call.ctx.tunables)
    return Reply({"snapshot": snapshot_view.changed(call, snapshot)}, 202)


def _one_place(call: Call) -> str:
    """The host or the cluster that a list of what lies there is asked for. Raises ``Invalid``."""
    return _one_of(call.query.get("host"), call.query.get("cluster"))


def _one_of(host: str | None, cluster: str | None) -> str:
    if bool(host) == bool(cluster):
        raise Invalid("Invalid input received: exactly one of host and cluster must be given.")
    return host or cluster or ""


def _source_name(reference: dict[str, Any] | str | None) -> str:
    name = reference.get("source-name") if isinstance(reference, dict) else reference
    if not isinstance(name, str) or not name:
        raise Invalid("Invalid input received: the reference must contain a 'source-name'.")
    return name


async def _list(collection: str, keys: Sequence[str], call: Call) -> Reply:
    """List what could be managed, showing these ``keys`` of each row."""
    asked, pool = LIST.parse_query(call), _one_place(call)
    operation_id = await call.ctx.db.write(manageable.accept, call.who, pool)
    await ended(call, operation_id, f"list {collection.replace('-', ' ')}")
    asked = replace(asked, seen={**asked.seen, "operation_id": operation_id})
    rows, _ = await call.ctx.db.write(LIST.read, call.who, asked)
    return Reply({collection: [{key: row[key] for key in keys} for row in rows]})


def _found(tx: Transaction, operation_id: str) -> list[Row]:
    return [_row(one) for one in manageable.take_found(tx, operation_id)]


def _row(one: Row) -> Row:
    return {
        "reference": {"source-name": one["name"]},
        "size": gib_to_hold(one["size"]),
        "safe_to_manage": one["why_not"] is None,
        "reason_not_safe": one["why_not"],
        "cinder_id": None,
        "extra_info": None,
        "source_reference": {"source-name": one["origin"]} if one.get("origin") else None,
    }


def _routes(
    older: str, newer: str, create: Handler, rule: Rule, list_rule: Rule, more: tuple[str, ...] = ()
) -> Iterator[Route]:
    """Each under both of its names. The volume's host looks for what is listed."""
    collection = newer.replace("_", "-")
    for path, since in ((older, (3, 0)), (newer, (3, 8))):
        yield Route("POST", f"/{path}", create, rule, since=since)
        for below, keys in (("", PLAIN), ("/detail", FULL)):
            handler = partial(_list, collection, (*keys, *more))
            yield Route("GET", f"/{path}{below}", handler, list_rule, since=since, waits=True)


ROUTES = (
    *_routes("os-volume-manage", "manageable_volumes", create, RULE, LIST_RULE),
    *_routes(
        "os-snapshot-manage",
        "manageable_snapshots",
        create_snapshot,
        SNAPSHOT_RULE,
        LIST_SNAPSHOTS_RULE,
        ("source_reference",),
    ),
    Route(
        "POST",
        "/volumes/{id}/action",
        writes(unmanage.accept),
        Rule("volume_extension:volume_unmanage", ADMIN),
        action="os-unmanage",
    ),
)

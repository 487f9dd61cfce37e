"""Disks that lie in a pool already: list them, make volumes of them, let go of volumes (api-ref, "Manage")."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from pydantic import Field

from pumice.api import paging
from pumice.api.call import Call, Reply, check
from pumice.api.fields import Body, Boolean, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Handler, Route, writes
from pumice.api.volume.fields import Metadata, Name
from pumice.api.volume.volume_view import Shown, VolumeView
from pumice.api.volume.waiting import ended
from pumice.model.errors import Forbidden, Invalid
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.model.units import gib_to_hold
from pumice.store import types
from pumice.store.database import Transaction
from pumice.volumes import manage, manageable, unmanage

RULE = Rule("volume_extension:volume_manage", ADMIN)
LIST_RULE = Rule("volume_extension:list_manageable", ADMIN)

Row = dict[str, Any]


def _name(row: Row) -> str:
    return str(row["reference"]["source-name"])


LIST = paging.ShortList[Row](
    kind="Manageable volume",
    name=_name,
    unknown=paging.Unknown.LAST,
    keys={"reference": _name, "size": itemgetter("size")},
)


class Existing(Body):
    """A disk, and what the volume shall be like."""

    host: Text | None = None
    cluster: Text | None = None
    ref: dict[str, Any] | Text
    name: Name = None
    description: Name = None
    volume_type: Text | None = None
    availability_zone: Text | None = None
    bootable: Boolean = False
    metadata: Metadata | None = None


class ManageBody(Body):
    """The body of a create."""

    volume: Existing = Field()


async def create(call: Call) -> Reply:
    """Manage a disk: 202, the volume in ``managing``."""
    asked = check(ManageBody, await call.json()).volume
    if call.who.project_id is None:
        raise Forbidden("A volume belongs to a project: a token scoped to one is needed.")
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


def one_place(call: Call) -> str:
    """The host or the cluster that a list of what lies there is asked for. Raises ``Invalid``."""
    return _one_of(call.query.get("host"), call.query.get("cluster"))


def _one_of(host: str | None, cluster: str | None) -> str:
    if bool(host) == bool(cluster):
        raise Invalid("Invalid input received: exactly one of host and cluster must be given.")
    return host or cluster or ""


def _source_name(reference: dict[str, Any] | str) -> str:
    name = reference.get("source-name") if isinstance(reference, dict) else reference
    if not isinstance(name, str) or not name:
        raise Invalid("Invalid input received: the reference must contain a 'source-name'.")
    return name


async def index(call: Call) -> Reply:
    """What could be managed."""
    keys = ("reference", "size", "safe_to_manage")
    return await _list(call, lambda row: {key: row[key] for key in keys})


async def detail(call: Call) -> Reply:
    """List what could be managed, in full."""
    return await _list(call, lambda row: row)


async def _list(call: Call, view: Callable[[Row], Row]) -> Reply:
    page = paging.parse_query(call, keys=LIST.keys, most=call.ctx.tunables.api_max_limit, default="reference")
    pool = one_place(call)
    operation_id = await call.ctx.db.write(manageable.accept, call.who, pool)
    await ended(call, operation_id, "list manageable volumes")
    rows = [_row(one) for one in await call.ctx.db.write(manageable.take_found, operation_id)]
    return Reply({"manageable-volumes": [view(row) for row in LIST.page(page, rows)]})


def _row(one: Row) -> Row:
    return {
        "reference": {"source-name": one["name"]},
        "size": gib_to_hold(one["size"]),
        "safe_to_manage": one["why_not"] is None,
        "reason_not_safe": one["why_not"],
        "cinder_id": None,
        "extra_info": None,
    }


def _both(method: str, path: str, handler: Handler, rule: Rule) -> tuple[Route, Route]:
    """A route under both of its names, the older and the newer."""
    waits = method == "GET"  # the volume's host looks
    return (
        Route(method, f"/os-volume-manage{path}", handler, rule, waits=waits),
        Route(method, f"/manageable_volumes{path}", handler, rule, since=(3, 8), waits=waits),
    )


ROUTES = (
    *_both("POST", "", create, RULE),
    *_both("GET", "", index, LIST_RULE),
    *_both("GET", "/detail", detail, LIST_RULE),
    Route(
        "POST",
        "/volumes/{id}/action",
        writes(unmanage.accept),
        Rule("volume_extension:volume_unmanage", ADMIN),
        action="os-unmanage",
    ),
)

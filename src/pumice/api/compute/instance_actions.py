"""What was done with a server: the operation log, as Compute shows it (api-ref, "Servers actions").

Since 2.21 also of a server that is gone.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from pumice.api import paging
from pumice.api.call import Call, Reply
from pumice.api.compute.fields import moment, only_query, until, without_query
from pumice.api.compute.links import VERSION
from pumice.api.policy import ADMIN, READER, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid, NotFound
from pumice.store import operations, servers
from pumice.store.database import Transaction
from pumice.store.operations import Row

ACTIONS: Mapping[str, str] = {
    "server.boot": "create",
    "server.delete": "delete",
    "server.start": "start",
    "server.stop": "stop",
    "server.reboot": "reboot",
    "server.hard_reboot": "reboot",
    "server.attach_volume": "attach_volume",
    "server.detach_volume": "detach_volume",
    "volume.extend": "extend_volume",
}
"""Compute's names for the operations that are a server's actions."""
_EXTENDED = "tell_guest"
"""The only step of extending a volume that belongs to the server."""

LIST = paging.ShortList[dict[str, Any]]("Action", itemgetter("request_id"), paging.Unknown.INVALID)

EVENTS = Rule("os_compute_api:os-instance-actions:events", ADMIN)
DETAILS = Rule("os_compute_api:os-instance-actions:events:details", ADMIN)


async def index(call: Call) -> Reply:
    """``GET …/os-instance-actions``, the newest first; since 2.58 by page and time."""
    rows, user_id = await call.ctx.db.read(_rows, call)
    if call.version < (2, 58):
        return Reply({"instanceActions": [_view(call, row, user_id) for row in rows]})
    times = ("changes-since", "changes-before") if call.version >= (2, 66) else ("changes-since",)
    only_query(call, "limit", "marker", *times, since=(2, 58))
    page = paging.parse_query(call, keys=(), most=call.ctx.tunables.api_max_limit)
    shown = [_view(call, row, user_id) for row in _changed(call, rows)]
    shown = LIST.after(page, shown)
    body: dict[str, Any] = {"instanceActions": shown[: page.limit]}
    if page.limit and len(shown) > page.limit:
        body["links"] = paging.next_link(call, shown[: page.limit], page, key="request_id")
    return Reply(body)


def _changed(call: Call, rows: list[Row]) -> list[Row]:
    """The operations that were under way or ended in the span of the query. Raises ``Invalid``."""
    query = call.query
    since = moment(query["changes-since"]) if "changes-since" in query else datetime.min
    before = until(query["changes-before"]) if "changes-before" in query else datetime.max
    if since > before:
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")
    return [row for row in rows if since <= (row["finished_at"] or row["created_at"]) <= before]


async def show(call: Call) -> Reply:
    """``GET …/os-instance-actions/{request_id}``, with its steps for those who may see them."""
    rows, user_id = await call.ctx.db.read(_rows, call)
    row = next((row for row in rows if row["request_id"] == call.args["request_id"]), None)
    if row is None:
        raise NotFound("Action", call.args["request_id"])
    view = _view(call, row, user_id)
    sees_all = call.policy.allows(EVENTS, call.who)
    if sees_all or call.version >= (2, 51):
        lines = await call.ctx.db.read(operations.lines, row["id"])
        if row["kind"] == "volume.extend":
            lines = [line for line in lines if line["step"] == _EXTENDED]
        view["events"] = [_event(call, line, sees_all) for line in lines]
    return Reply({"instanceAction": view})


def _rows(tx: Transaction, call: Call) -> tuple[list[Row], str | None]:
    """The server's actions, and its user while it is there. Raises ``NotFound``."""
    server_id, limit = call.args["id"], call.ctx.tunables.api_max_limit
    server = servers.find(tx, server_id)
    if server is not None or call.version < (2, 21):
        server = servers.get(tx, call.who, server_id)
    found = [*operations.page(tx, states=None, kind=None, subject=server_id, limit=limit)]
    known = {disk.volume_id for disk in servers.disks(tx, server_id) if disk.volume_id}
    if extended := operations.extensions(tx, server_id, known):
        found = sorted([*found, *extended], key=lambda row: row["created_at"], reverse=True)[:limit]
    rows = [
        row
        for row in found
        if row["kind"] in ACTIONS and (server or call.who.is_admin or row["project_id"] == call.who.project_id)
    ]
    if server is None and not rows:
        raise NotFound("Instance", server_id)
    return rows, server.user_id if server else None


def _view(call: Call, row: Row, user_id: str | None) -> dict[str, Any]:
    view = {
        "action": ACTIONS[row["kind"]],
        "instance_uuid": call.args["id"],
        "request_id": row["request_id"],
        "user_id": user_id,
        "project_id": row["project_id"],
        "start_time": _time(row["created_at"]),
        "message": row["error"],
    }
    if call.version >= (2, 58):
        view["updated_at"] = _time(row["finished_at"] or row["created_at"])
    return view


def _event(call: Call, line: Row, sees_all: bool) -> dict[str, Any]:
    began = line["started_at"]
    event = {
        "event": "compute_extend_volume"
        if line["step"] == _EXTENDED
        else f"{line['direction']}_{line['step']}",
        "start_time": _time(began),
        "finish_time": _time(began + timedelta(seconds=line["seconds"])),
        "result": "Success" if line["outcome"] == "done" else "Error",
    }
    if sees_all:
        event["traceback"] = line["error"]
    if sees_all and call.version >= (2, 62):
        event["host"] = line["place"].partition(":")[2]
    if call.version >= (2, 62):
        event["hostId"] = ""
    if call.version >= (2, 84) and call.policy.allows(DETAILS, call.who):
        event["details"] = line["error"]
    return event


def _time(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


_PATH, _RULE = f"{VERSION}/servers/{{id}}/os-instance-actions", "os_compute_api:os-instance-actions"
ROUTES = (
    Route("GET", _PATH, index, Rule(f"{_RULE}:list", READER)),
    Route(
        "GET",
        f"{_PATH}/{{request_id}}",
        without_query(show),
        Rule(f"{_RULE}:show", READER),
        also=(EVENTS, DETAILS),
    ),
)

"""What was done with a server: the operation log, as Compute shows it (api-ref, "Servers actions").

Since 2.21 also of a server that is gone.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, Unknown
from pumice.api.compute.links import VERSION
from pumice.api.compute.queries import moment, only_query, until, without_query
from pumice.api.policy import ADMIN, READER, Rule
from pumice.api.routing import Route
from pumice.api.short_lists import read_whole
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.servers.delete import DELETE_SERVER, OWNER
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

EVENTS = Rule("os_compute_api:os-instance-actions:events", ADMIN)
DETAILS = Rule("os_compute_api:os-instance-actions:events:details", ADMIN)


def _conditions(call: Call) -> list[Callable[[Row], bool]]:
    """The operations that were under way or ended in the span of the query. Raises ``Invalid``."""
    times = ("changes-since", "changes-before") if call.version >= (2, 66) else ("changes-since",)
    only_query(call, "limit", "marker", *times, since=(2, 58))
    query = call.query
    since = moment(query["changes-since"]) if "changes-since" in query else datetime.min
    before = until(query["changes-before"]) if "changes-before" in query else datetime.max
    if since > before:
        raise Invalid("The value of changes-since must be less than or equal to changes-before.")
    return [lambda row: since <= (row["finished_at"] or row["created_at"]) <= before]


async def show(call: Call) -> Reply:
    """``GET …/os-instance-actions/{request_id}``, with its steps for those who may see them."""
    return Reply({"instanceAction": await call.ctx.db.read(_one, call)})


def _one(tx: Transaction, call: Call) -> dict[str, Any]:
    rows = _rows(tx, call.who, call)
    row = next((row for row in rows if row["request_id"] == call.args["request_id"]), None)
    if row is None:
        raise NotFound("Action", call.args["request_id"])
    view = _viewer(tx, call, rows)(row)
    sees_all = call.policy.allows(EVENTS, call.who)
    if sees_all or call.version >= (2, 51):
        lines = operations.lines(tx, row["id"])
        if row["kind"] == "volume.extend":
            lines = [line for line in lines if line["step"] == _EXTENDED]
        view["events"] = [_event(call, line, sees_all) for line in lines]
    return view


def _rows(tx: Transaction, _who: Scope, call: Call) -> list[Row]:
    """The server's actions, the newest first. Raises ``NotFound``."""
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
    return rows


LIST = Collection[Row](
    {},
    _conditions,
    read_whole("Action", _rows, itemgetter("request_id")),
    told=lambda call: {"call": call},
    since=(2, 58),
    unknown=Unknown.INVALID,
    marker="request_id",
    links="links",
)


def _viewer(tx: Transaction, call: Call, _found: Sequence[Row]) -> Callable[[Row], dict[str, Any]]:
    """Actions with the server's user."""
    user_id = _user_id(tx, call.args["id"])
    return lambda row: _view(call, row, user_id)


def _user_id(tx: Transaction, server_id: str) -> str | None:
    """Whose server it is, or was by the word of what deleted it."""
    if server := servers.find(tx, server_id):
        return server.user_id
    ends = operations.page(tx, states=None, kind=DELETE_SERVER.kind, subject=server_id, limit=1)
    return next((row["notes"].get(OWNER) for row in ends), None)


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
    Route("GET", _PATH, LIST.answers_with("instanceActions", _viewer), Rule(f"{_RULE}:list", READER)),
    Route(
        "GET",
        f"{_PATH}/{{request_id}}",
        without_query(show),
        Rule(f"{_RULE}:show", READER),
        also=(EVENTS, DETAILS),
    ),
)

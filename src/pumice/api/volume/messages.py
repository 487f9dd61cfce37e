"""User messages, from 3.3: why something did not happen (api-ref, "Messages")."""

from operator import itemgetter
from typing import Any

from pumice.api import paging
from pumice.api.call import Call, Reply
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route
from pumice.api.volume.filters import unmet
from pumice.api.volume.links import Links
from pumice.api.volume.volume_view import wire_time
from pumice.model.errors import NotFound
from pumice.store import messages
from pumice.store.database import Transaction

LIST = paging.ShortList[dict[str, Any]](
    kind="Message",
    name=itemgetter("id"),
    unknown=paging.Unknown.INVALID,
    keys=paging.texts(itemgetter, "id", "event_id", "resource_uuid", "created_at", "guaranteed_until"),
)
_COLUMNS = {
    "resource_uuid": "resource_id",
    "resource_type": "resource_type",
    "event_id": "event_id",
    "request_id": "request_id",
    "message_level": "level",
}
"""Filters, and the columns that stand for them."""


async def index(call: Call) -> Reply:
    """The project's messages; from 3.5 by page and filter."""
    links = Links(call, "messages")
    rows = [_view(message, links) for message in await call.ctx.db.read(messages.visible, call.who)]
    if call.version < (3, 5):
        return Reply({"messages": rows})
    if unmet(call, "message"):
        rows = []
    page = paging.parse_query(call, keys=LIST.keys, most=call.ctx.tunables.api_max_limit)
    for name in _COLUMNS:
        if name in call.query:
            rows = [row for row in rows if str(row.get(name)).upper() == call.query[name].upper()]
    return paging.listed(call, "messages", LIST.page(page, rows), page)


async def show(call: Call) -> Reply:
    """Show one message."""
    message = await call.ctx.db.read(messages.get, call.who, call.args["id"])
    if message is None:
        raise NotFound("Message", call.args["id"])
    return Reply({"message": _view(message, Links(call, "messages"))})


async def remove(call: Call) -> Reply:
    """Forget a message: 204."""

    def forget(tx: Transaction) -> None:
        if messages.get(tx, call.who, call.args["id"]) is None:
            raise NotFound("Message", call.args["id"])
        messages.delete(tx, call.args["id"])

    await call.ctx.db.write(forget)
    return Reply(status=204)


def _view(message: messages.Row, links: Links) -> dict[str, Any]:
    return {
        "id": message["id"],
        "event_id": message["event_id"],
        "user_message": message["text"],
        "message_level": message["level"],
        "created_at": wire_time(message["created_at"]),
        "guaranteed_until": wire_time(message["expires_at"]),
        "request_id": message["request_id"] or "",
        "links": links.to(message["id"]),
        "resource_type": message["resource_type"],
        "resource_uuid": message["resource_id"],
    }


ROUTES = (
    Route("GET", "/messages", index, Rule("message:get_all", READER), since=(3, 3)),
    Route("GET", "/messages/{id}", show, Rule("message:get", READER), since=(3, 3)),
    Route("DELETE", "/messages/{id}", remove, Rule("message:delete", MEMBER), since=(3, 3)),
)

"""User messages, from 3.3: why something did not happen (api-ref, "Messages")."""

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

from pumice.api.call import Call
from pumice.api.collection import Collection, Unknown
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.api.short_lists import read_whole, texts
from pumice.api.volume.filters import unmet
from pumice.api.volume.links import Links
from pumice.api.volume.volume_view import wire_time
from pumice.store import messages

FILTERED_BY = {
    "resource_uuid": "resource_id",
    "resource_type": "resource_type",
    "event_id": "event_id",
    "request_id": "request_id",
    "message_level": "level",
}
"""Filters, and the columns that stand for them."""


def _conditions(call: Call) -> list[Callable[[messages.Row], bool]]:
    if unmet(call, "message"):
        return [lambda _: False]
    asked = [(column, call.query[name]) for name, column in FILTERED_BY.items() if name in call.query]
    return [partial(_says, column, value.upper()) for column, value in asked]


def _says(column: str, value: str, message: messages.Row) -> bool:
    return str(message[column] or "").upper() == value


LIST = Collection[messages.Row](
    texts(
        itemgetter,
        "id",
        "event_id",
        "created_at",
        resource_uuid="resource_id",
        guaranteed_until="expires_at",
    ),
    _conditions,
    read_whole("Message", messages.visible, itemgetter("id")),
    since=(3, 5),
    unknown=Unknown.INVALID,
)


def _view(call: Call, message: messages.Row) -> dict[str, Any]:
    return {
        "id": message["id"],
        "event_id": message["event_id"],
        "user_message": message["text"],
        "message_level": message["level"],
        "created_at": wire_time(message["created_at"]),
        "guaranteed_until": wire_time(message["expires_at"]),
        "request_id": message["request_id"] or "",
        "links": Links(call, "messages").to(message["id"]),
        "resource_type": message["resource_type"],
        "resource_uuid": message["resource_id"],
    }


_ONE = "/messages/{id}"
ROUTES = (
    Route("GET", "/messages", LIST.answers("messages", _view), Rule("message:get_all", READER), since=(3, 3)),
    Route("GET", _ONE, showing("message", messages.get, _view), Rule("message:get", READER), since=(3, 3)),
    Route("DELETE", _ONE, writes(messages.delete, 204), Rule("message:delete", MEMBER), since=(3, 3)),
)

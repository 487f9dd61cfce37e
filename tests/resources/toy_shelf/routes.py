"""``/shelves``: bodies, a view, what is declared, and the one handler that is not."""

from typing import Any

from toy_shelf.rows import SHELVES, Shelf, add, get, page, remove

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection
from pumice.api.fields import Body, Positive, Text
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.api.volume import filters
from pumice.api.volume.filters import Filters
from pumice.api.volume.volume_view import wire_time
from pumice.model.ids import new_id

COLUMNS = {name: name for name in ("id", "name", "size", "created_at")}
FILTERS = Filters(
    "group",
    SHELVES,
    filters.plain(SHELVES, COLUMNS),
    like=("name",),
)
LIST = Collection(COLUMNS, FILTERS.parse_query, page, everywhere=filters.asks_for_all)


class NewShelf(Body):
    name: Text
    size: Positive = 1


async def create(call: Call) -> Reply:
    asked = await call.parse(NewShelf, "shelf")
    made = await call.ctx.db.write(add, call.who, new_id(), asked.name, asked.size)
    return Reply({"shelf": view(call, made)}, 201)


def view(_: Call, shelf: Shelf) -> dict[str, Any]:
    return {"id": shelf.id, "name": shelf.name, "size": shelf.size, "created_at": wire_time(shelf.created_at)}


ROUTES = (
    Route("GET", "/v3/shelves", LIST.answers("shelves", view), Rule("toy:list", READER)),
    Route("POST", "/v3/shelves", create, Rule("toy:create", MEMBER)),
    Route("GET", "/v3/shelves/{id}", showing("shelf", get, view), Rule("toy:get", READER)),
    Route("DELETE", "/v3/shelves/{id}", writes(remove, 204), Rule("toy:delete", MEMBER)),
)

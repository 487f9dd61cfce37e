"""``/services``: what the catalog names."""

from typing import Annotated, Any

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.identity.checks import ADMIN, READER
from pumice.api.identity.lists import Changes, Kept, link, listing, must_stay
from pumice.api.policy import Rule
from pumice.api.routing import Route, writes
from pumice.model.ids import new_id
from pumice.store.resources import SERVICES, Row

Word = Annotated[str, Field(min_length=1, max_length=255)]


class Create(Kept):
    """What a new service may have; other keys are kept."""

    type: Word
    name: Word = ""
    enabled: bool = True


class Update(Changes):
    """What of a service may change; other keys are kept."""

    type: Word = ""
    name: Word = ""
    enabled: bool = True


async def show(call: Call) -> Reply:
    """``GET /services/{id}``."""
    return Reply({"service": view(call, await call.house.db.read(SERVICES.show, call.args["id"]))})


async def create(call: Call) -> Reply:
    """``POST /services``."""
    body = await call.parse(Create, "service")
    row = {
        "id": new_id(),
        "type": body.type,
        "name": body.name,
        "enabled": body.enabled,
        "extra": body.extra(),
    }
    return Reply({"service": view(call, await call.house.db.write(SERVICES.add, row))}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /services/{id}``."""
    body = await call.parse(Update, "service")
    values, extra = body.given(), body.extra()
    must_stay("a service", "id", call.args["id"], extra)
    row = await call.house.db.write(SERVICES.change, call.args["id"], values, extra)
    return Reply({"service": view(call, row)})


def view(call: Call, row: Row) -> dict[str, Any]:
    """A service as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "type": row["type"],
        "name": row["name"],
        "enabled": row["enabled"],
        "links": {"self": link(call, "services", row["id"])},
    }


LIST = listing("services", SERVICES.matching, view, "type", "name")
ROUTES = (
    Route("GET", "/services", LIST, Rule("identity:list_services", READER)),
    Route("POST", "/services", create, Rule("identity:create_service", ADMIN)),
    Route("GET", "/services/{id}", show, Rule("identity:get_service", READER)),
    Route("PATCH", "/services/{id}", update, Rule("identity:update_service", ADMIN)),
    Route(
        "DELETE",
        "/services/{id}",
        writes(SERVICES.remove, 204, scoped=False),
        Rule("identity:delete_service", ADMIN),
    ),
)

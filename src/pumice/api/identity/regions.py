"""``/regions``: what endpoints are sorted into."""

from typing import Annotated, Any

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.identity.checks import ADMIN
from pumice.api.identity.lists import (
    Changes,
    Description,
    Kept,
    collection,
    link,
    refuse_unknown,
    wanted,
)
from pumice.api.identity.resource import routes, updating
from pumice.api.policy import ANYBODY, Rule
from pumice.api.routing import Route, showing
from pumice.identity import places
from pumice.model.errors import Invalid
from pumice.model.ids import new_id
from pumice.store.resources import REGIONS, Row

Id = Annotated[str, Field(max_length=255)]


class Create(Kept):
    """What a new region may have; other keys are kept."""

    id: Id = ""
    description: Description = ""
    parent_region_id: Id | None = None


class Update(Changes):
    """What of a region may change; other keys are kept."""

    description: Description = ""
    parent_region_id: Id | None = None


async def list_(call: Call) -> Reply:
    """``GET /regions``."""
    refuse_unknown(call, "parent_region_id")
    rows = await call.ctx.db.read(REGIONS.matching, wanted(call, ("parent_region_id",)))
    return collection(call, "regions", [view(call, row) for row in rows])


async def create(call: Call) -> Reply:
    """``POST /regions``, or ``PUT /regions/{id}`` under an id of the client's choice."""
    body = await call.parse(Create, "region")
    wanted_id = call.args.get("id") or body.id or new_id()
    if body.id and body.id != wanted_id:
        raise Invalid(f'Conflicting region IDs specified: "{wanted_id}" != "{body.id}".')
    row = {**body.row(), "id": wanted_id}
    return Reply({"region": view(call, await call.ctx.db.write(places.add_region, row))}, 201)


def view(call: Call, row: Row) -> dict[str, Any]:
    """A region as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "description": row["description"],
        "parent_region_id": row["parent_region_id"],
        "links": {"self": link(call, "regions", row["id"])},
    }


ROUTES = (
    *routes(
        "region",
        list=list_,
        create=create,
        show=showing("region", REGIONS.show, view, scoped=False),
        update=updating("region", Update, places.change_region, view),
        remove=places.remove_region,
        readers=ANYBODY,
        writers=ADMIN,
    ),
    Route("PUT", "/regions/{id}", create, Rule("identity:create_region", ADMIN)),
)

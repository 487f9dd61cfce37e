"""``/domains``."""

from typing import Annotated, Any

from pumice.api.call import Call, Reply
from pumice.api.identity.lists import Kept, Name, collection, link, must_stay, wanted
from pumice.api.routing import Route
from pumice.identity import projects
from pumice.model.ids import new_id
from pumice.store.domains import Row


class Create(Kept):
    """What a new domain may have; other keys are kept."""

    name: Annotated[str, Name]
    description: str | None = None
    enabled: bool = True


class Update(Kept):
    """What of a domain may change; other keys are kept."""

    name: Annotated[str, Name] = ""
    description: str | None = None
    enabled: bool = True


async def list_(call: Call) -> Reply:
    """``GET /domains``."""
    rows = await call.house.db.read(projects.matching_domains, wanted(call, ("name", "enabled")))
    return collection(call, "domains", [view(call, row) for row in rows])


async def show(call: Call) -> Reply:
    """``GET /domains/{id}``."""
    return Reply({"domain": view(call, await call.house.db.read(projects.show_domain, call.args["id"]))})


async def create(call: Call) -> Reply:
    """``POST /domains``."""
    body = await call.parse(Create, "domain")
    row = {
        "id": new_id(),
        "name": body.name,
        "description": body.description or "",
        "enabled": body.enabled,
        "extra": body.extra(),
    }
    return Reply({"domain": view(call, await call.house.db.write(projects.add_domain, row))}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /domains/{id}``."""
    body = await call.parse(Update, "domain")
    values, extra = body.given(), body.extra()
    must_stay("a domain", "id", call.args["id"], extra)
    if "description" in values:
        values["description"] = values["description"] or ""
    row = await call.house.db.write(projects.change_domain, call.args["id"], values, extra)
    return Reply({"domain": view(call, row)})


async def delete(call: Call) -> Reply:
    """``DELETE /domains/{id}``."""
    await call.house.db.write(projects.remove_domain, call.args["id"])
    return Reply(status=204)


def view(call: Call, row: Row) -> dict[str, Any]:
    """A domain as the API shows it."""
    return {
        "options": {},
        "tags": [],
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "enabled": row["enabled"],
        "links": {"self": link(call, "domains", row["id"])},
    }


ROUTES = (
    Route("GET", "/domains", list_, "identity:list_domains"),
    Route("POST", "/domains", create, "identity:create_domain"),
    Route("GET", "/domains/{id}", show, "identity:get_domain"),
    Route("PATCH", "/domains/{id}", update, "identity:update_domain"),
    Route("DELETE", "/domains/{id}", delete, "identity:delete_domain"),
)

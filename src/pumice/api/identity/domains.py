"""``/domains``."""

from typing import Annotated, Any

from pumice.api.call import Call, Reply
from pumice.api.identity.checks import ADMIN, IN_DOMAIN, READER_INSIDE
from pumice.api.identity.lists import (
    Changes,
    Description,
    Kept,
    Options,
    ShortName,
    link,
    listing,
    must_stay,
)
from pumice.api.policy import Rule
from pumice.api.routing import Route, writes
from pumice.identity import options, projects
from pumice.model.ids import new_id
from pumice.store.domains import Row


class Create(Kept):
    """What a new domain may have; other keys are kept."""

    name: Annotated[str, ShortName]
    description: Description = ""
    enabled: bool = True
    options: Options = Options()


class Update(Changes):
    """What of a domain may change; other keys are kept."""

    name: Annotated[str, ShortName] = ""
    description: Description = ""
    enabled: bool = True
    options: Options = Options()


async def show(call: Call) -> Reply:
    """``GET /domains/{domain_id}``."""
    return Reply({"domain": view(call, await call.house.db.read(projects.show_domain, call.args["domain_id"]))})


async def create(call: Call) -> Reply:
    """``POST /domains``."""
    body = await call.parse(Create, "domain")
    row = {
        "id": new_id(),
        "name": body.name,
        "description": body.description,
        "enabled": body.enabled,
        "extra": body.extra(),
    }
    return Reply({"domain": view(call, await call.house.db.write(projects.add_domain, row))}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /domains/{domain_id}``."""
    body = await call.parse(Update, "domain")
    values, extra = body.given(), body.extra()
    must_stay("a domain", "id", call.args["domain_id"], extra)
    row = await call.house.db.write(projects.change_domain, call.args["domain_id"], values, extra)
    return Reply({"domain": view(call, row)})


def view(call: Call, row: Row) -> dict[str, Any]:
    """A domain as the API shows it."""
    return {
        "tags": [],
        **row["extra"],
        "options": options.of(row),
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "enabled": row["enabled"],
        "links": {"self": link(call, "domains", row["id"])},
    }


LIST = listing("domains", projects.matching_domains, view, "name", "enabled", within="id")
ROUTES = (
    Route("GET", "/domains", LIST, Rule("identity:list_domains", READER_INSIDE)),
    Route("POST", "/domains", create, Rule("identity:create_domain", ADMIN)),
    Route("GET", "/domains/{domain_id}", show, Rule("identity:get_domain", IN_DOMAIN)),
    Route("PATCH", "/domains/{domain_id}", update, Rule("identity:update_domain", ADMIN)),
    Route(
        "DELETE",
        "/domains/{domain_id}",
        writes(projects.remove_domain, 204, scoped=False),
        Rule("identity:delete_domain", ADMIN),
    ),
)

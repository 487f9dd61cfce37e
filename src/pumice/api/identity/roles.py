"""``/roles``, and which roles imply which."""

from typing import Annotated, Any

from pumice.api.call import Call, Reply
from pumice.api.identity.checks import ADMIN, READER, ROLE_READER
from pumice.api.identity.lists import Changes, Kept, Name, Options, collection, link, must_stay, wanted
from pumice.api.identity.resource import routes
from pumice.api.policy import Rule
from pumice.api.routing import Route, showing
from pumice.identity import grants, options
from pumice.model.errors import Invalid
from pumice.store.roles import Row


class Create(Kept):
    """What a new role may have; other keys are kept."""

    name: Annotated[str, Name]
    description: str | None = None
    options: Options = Options()


class Update(Changes):
    """What of a role may change; other keys are kept."""

    name: Annotated[str, Name] = ""
    description: str | None = None
    options: Options = Options()


async def list_(call: Call) -> Reply:
    """``GET /roles``. Roles that belong to a domain do not exist."""
    if call.query.get("domain_id"):
        return collection(call, "roles", [])
    rows = await call.ctx.db.read(grants.matching, wanted(call, ("name",)))
    return collection(call, "roles", [view(call, row) for row in rows])


async def create(call: Call) -> Reply:
    """``POST /roles``."""
    body = await call.parse(Create, "role")
    if body.extra().get("domain_id") is not None:
        raise Invalid("Roles of a domain are not part of this version of Pumice: make one without a domain_id.")
    return Reply({"role": view(call, await call.ctx.db.write(grants.add, body.row()))}, 201)


async def update(call: Call) -> Reply:
    """``PATCH /roles/{id}``."""
    body = await call.parse(Update, "role")
    values, extra = body.given(), body.extra()
    must_stay("a role", "id", call.args["id"], extra)
    must_stay("a role", "domain_id", None, extra)
    return Reply({"role": view(call, await call.ctx.db.write(grants.change, call.args["id"], values, extra))})


async def list_inferences(call: Call) -> Reply:
    """``GET /role_inferences``: which roles bring which others along."""
    pairs = await call.ctx.db.read(grants.implications)
    rules = [
        {"prior_role": _short(call, prior), "implies": [_short(call, implied)]} for prior, implied in pairs
    ]
    return Reply({"role_inferences": rules, "links": {"self": link(call, "role_inferences")}})


def _short(call: Call, row: Row) -> dict[str, Any]:
    return {"id": row["id"], "name": row["name"], "links": {"self": link(call, "roles", row["id"])}}


def plain_view(row: Row) -> dict[str, Any]:
    """A role inside of something else."""
    return {
        "id": row["id"],
        "name": row["name"],
        "domain_id": None,
        "description": row["description"],
        "options": options.of(row),
    }


def view(call: Call, row: Row) -> dict[str, Any]:
    """A role as the API shows it."""
    return {
        **row["extra"],
        "options": options.of(row),
        "domain_id": None,
        "description": row["description"],
        **_short(call, row),
    }


ROUTES = (
    *routes(
        "role",
        list=list_,
        create=create,
        show=showing("role", grants.show, view, scoped=False),
        update=update,
        remove=grants.remove,
        readers=ROLE_READER,
        writers=ADMIN,
    ),
    Route("GET", "/role_inferences", list_inferences, Rule("identity:list_role_inference_rules", READER)),
)

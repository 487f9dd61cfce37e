"""``/groups``: users who have roles together."""

from typing import Annotated, Any

from pumice.api.call import Call, Reply
from pumice.api.identity import users
from pumice.api.identity.checks import MANAGER_INSIDE, READER_INSIDE, READER_INSIDE_OR_SELF
from pumice.api.identity.lists import (
    Changes,
    Description,
    Kept,
    ShortName,
    collection,
    expiring,
    link,
    listing,
    wanted,
)
from pumice.api.identity.resource import routes, updating
from pumice.api.policy import Rule
from pumice.api.routing import Route, showing, writes
from pumice.identity import groups
from pumice.store.resources import GROUPS, Row

CREATE = Rule("identity:create_group", MANAGER_INSIDE)


class Create(Kept):
    """What a new group may have; other keys are kept."""

    name: Annotated[str, ShortName]
    domain_id: str | None = None
    description: Description = ""


class Update(Changes):
    """What of a group may change; other keys are kept."""

    name: Annotated[str, ShortName] = ""
    description: Description = ""


async def create(call: Call) -> Reply:
    """``POST /groups``."""
    body = await call.parse(Create, "group")
    domain_id = body.domain_id or call.who.domain_id or "default"
    call.policy.require(CREATE, call.who, domain_id=domain_id)
    row = {**body.row(), "domain_id": domain_id}
    return Reply({"group": view(call, await call.ctx.db.write(groups.add, row))}, 201)


async def list_members(call: Call) -> Reply:
    """``GET /groups/{group_id}/users``."""
    filters = wanted(call, ("name", "domain_id", "enabled"))
    rows = await call.ctx.db.read(groups.members, call.args["group_id"], filters)
    return collection(call, "users", expiring(call, [users.view(call, row) for row in rows]))


async def check(call: Call) -> Reply:
    """``HEAD /groups/{group_id}/users/{user_id}``: 404 unless the user is in it."""
    await call.ctx.db.read(groups.check, call.args["group_id"], call.args["user_id"])
    return Reply(status=204)


def view(call: Call, row: Row) -> dict[str, Any]:
    """A group as the API shows it."""
    return {
        **row["extra"],
        "id": row["id"],
        "name": row["name"],
        "domain_id": row["domain_id"],
        "description": row["description"],
        "links": {"self": link(call, "groups", row["id"])},
    }


OF_USER = listing("groups", groups.of_user, view, "name")
ROUTES = (
    *routes(
        "group",
        arg="group_id",
        list=listing("groups", GROUPS.matching, view, "name", "domain_id", within="domain_id"),
        create=create,
        show=showing("group", GROUPS.show, view, scoped=False),
        update=updating("group", Update, GROUPS.change, view, GROUPS.show, ("domain_id",)),
        remove=groups.remove,
        readers=READER_INSIDE,
        writers=MANAGER_INSIDE,
    ),
    Route("GET", "/groups/{group_id}/users", list_members, Rule("identity:list_users_in_group", READER_INSIDE)),
    Route(
        "GET", "/groups/{group_id}/users/{user_id}", check, Rule("identity:check_user_in_group", READER_INSIDE)
    ),
    Route(
        "PUT",
        "/groups/{group_id}/users/{user_id}",
        writes(groups.join, 204, scoped=False),
        Rule("identity:add_user_to_group", MANAGER_INSIDE),
    ),
    Route(
        "DELETE",
        "/groups/{group_id}/users/{user_id}",
        writes(groups.leave, 204, scoped=False),
        Rule("identity:remove_user_from_group", MANAGER_INSIDE),
    ),
    Route(
        "GET",
        "/users/{user_id}/groups",
        OF_USER,
        Rule("identity:list_groups_for_user", READER_INSIDE_OR_SELF),
    ),
)

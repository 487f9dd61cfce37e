"""The default volume types that projects have of their own, from 3.62 (api-ref, "Default Volume Types")."""

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.fields import Body, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route, writes
from pumice.catalog import volume_types
from pumice.model.errors import NotFound
from pumice.store import types

SINCE = (3, 62)
RULE = "volume_extension:default_"


class NewDefault(Body):
    """A type by its id or name."""

    volume_type: Text = Field(min_length=1)


async def index(call: Call) -> Reply:
    """List the projects that have a default type, with their types."""
    found = await call.ctx.db.read(types.defaults)
    return Reply({"default_types": [_view(project, kind) for project, kind in found.items()]})


async def show(call: Call) -> Reply:
    """Show the default type of one project."""
    project = call.args["id"]
    kind = await call.ctx.db.read(types.default_of, project)
    if kind is None:
        raise NotFound("Default type for project", project)
    return Reply({"default_type": _view(project, kind)})


async def update(call: Call) -> Reply:
    """Give a project a default type: 200."""
    asked = await call.parse(NewDefault, "default_type")
    kind = await call.ctx.db.write(volume_types.set_default, call.args["id"], asked.volume_type)
    return Reply({"default_type": _view(call.args["id"], kind.id)})


def _view(project_id: str, type_id: str) -> dict[str, str]:
    return {"project_id": project_id, "volume_type_id": type_id}


ROUTES = (
    Route("GET", "/default-types", index, Rule(f"{RULE}get_all", ADMIN), since=SINCE),
    Route("GET", "/default-types/{id}", show, Rule(f"{RULE}get", ADMIN), since=SINCE),
    Route("PUT", "/default-types/{id}", update, Rule(f"{RULE}set_or_update", ADMIN), since=SINCE),
    Route(
        "DELETE",
        "/default-types/{id}",
        writes(types.unset_default, 204, scoped=False),
        Rule(f"{RULE}unset", ADMIN),
        since=SINCE,
    ),
)

"""``POST /volumes/{id}/actions/flatten``: have a volume share its bytes with no other."""

from pumice.api.call import Call, Reply
from pumice.api.own import shapes
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.volumes import flatten


async def flatten_volume(call: Call) -> Reply:
    """Flatten a volume in the background, while it is used: 202. One that shares nothing is done at once."""
    operation_id = await call.ctx.db.write(flatten.accept, call.who, call.args["id"])
    return Reply(shapes.Begun(operation_id=operation_id).model_dump(), 202)


ROUTES = (Route("POST", "/volumes/{id}/actions/flatten", flatten_volume, Rule("pumice:flatten", ADMIN)),)

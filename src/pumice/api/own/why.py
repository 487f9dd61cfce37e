"""``GET /why/{id}``: why a volume, server, attachment or operation is in its state, and what happens next."""

from pumice.api.call import Call, Reply
from pumice.api.own import shapes
from pumice.api.own.rules import INSIDE
from pumice.api.policy import READER, Rule
from pumice.api.routing import Route
from pumice.operations import why
from pumice.store.database import Transaction


async def show(call: Call) -> Reply:
    """Tell why a thing is in its state, since when, and what happens next, in a paragraph."""
    inside = call.policy.allows(INSIDE, call.who)
    return Reply((await call.ctx.db.read(_told, call, inside)).model_dump(mode="json"))


def _told(tx: Transaction, call: Call, inside: bool) -> shapes.Why:
    thing = why.visible(tx, call.who, call.args["id"])
    text = why.explained(tx, thing, call.ctx.tunables, inside=inside)
    known = {name: getattr(thing, name) for name in ("id", "kind", "status", "since", "operation_id")}
    return shapes.Why(why=shapes.Reason(**known, text=text))


ROUTES = (Route("GET", "/why/{id}", show, Rule("pumice:why", READER), also=(INSIDE,)),)

"""``GET /volumes/{id}/children``: what was cloned of a volume, or made of its snapshots.

Cinder's lists of volumes are not filtered by what they were made of.
"""

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.own.shapes import Moment, Shape
from pumice.api.policy import READER, Rule
from pumice.api.routing import Route
from pumice.model.volume import Volume
from pumice.store import volumes
from pumice.store.database import Transaction

MOST = 1000


class Child(Shape):
    """A volume that was made of another."""

    id: str
    name: str | None
    status: str
    size: int = Field(description="GiB.")
    snapshot_id: str | None = Field(description="The snapshot that it was made of; none for a clone.")
    created_at: Moment


class Children(Shape):
    """A volume's children that the caller sees, the oldest first; a thousand at most."""

    children: list[Child]


async def of_volume(call: Call) -> Reply:
    """List the volumes that were cloned of a volume, or made of its snapshots."""
    found = await call.ctx.db.read(_of_volume, call)
    return Reply(Children(children=[_shape(one) for one in found]).model_dump(mode="json"))


def _of_volume(tx: Transaction, call: Call) -> list[Volume]:
    volume = volumes.get(tx, call.who, call.args["id"])
    return volumes.made_of(tx, call.who, volume.id, MOST)


def _shape(one: Volume) -> Child:
    return Child(**{name: getattr(one, name) for name in Child.model_fields})


ROUTES = (Route("GET", "/volumes/{id}/children", of_volume, Rule("pumice:children", READER)),)

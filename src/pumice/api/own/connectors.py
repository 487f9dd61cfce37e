"""``GET /volumes/{id}/connectors``: which hosts a volume's attachments let in, by the names that storage knows.

Cinder takes a connector and shows it to nobody. Operators look for an initiator's name when a host does not
find its disk.
"""

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.own.shapes import Shape
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.model.volume import Attachment
from pumice.store import attachments, volumes
from pumice.store.database import Transaction


class Connector(Shape):
    """A host, as it connects to a volume; a name that it does not have is empty."""

    attachment_id: str
    host: str
    ip: str
    initiator: str = Field(description="Its name for iSCSI.")
    nqn: str = Field(description="Its name for NVMe over fabrics.")
    multipath: bool = Field(description="Whether it makes one disk of several paths.")


class Connectors(Shape):
    """The connectors of a volume's attachments, the oldest first."""

    connectors: list[Connector]


async def of_volume(call: Call) -> Reply:
    """List the hosts that a volume's attachments let in."""
    found = await call.ctx.db.read(_of_volume, call)
    return Reply(Connectors(connectors=[_shape(one) for one in found]).model_dump(mode="json"))


def _of_volume(tx: Transaction, call: Call) -> list[Attachment]:
    volume = volumes.get(tx, call.who, call.args["id"])
    return [one for one in attachments.of_volume(tx, volume.id) if one.connector]


def _shape(one: Attachment) -> Connector:
    names = ("host", "ip", "initiator", "nqn", "multipath")
    return Connector(attachment_id=one.id, **{name: getattr(one.connector, name) for name in names})


ROUTES = (Route("GET", "/volumes/{id}/connectors", of_volume, Rule("pumice:connectors", ADMIN)),)

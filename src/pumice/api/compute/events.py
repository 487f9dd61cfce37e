"""What other services tell of servers (api-ref, "Create external events"). Heard, checked, and not needed.

Block Storage's own operations know when a volume was extended; the network's service has nothing to wake here.
"""

from typing import Literal

from pydantic import Field

from pumice.api.call import Call, Reply
from pumice.api.compute.links import VERSION
from pumice.api.fields import Body, Text, Uuid
from pumice.api.policy import SERVICE, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid
from pumice.store import servers
from pumice.store.database import Transaction

SINCE = {
    "volume-extended": (2, 51),
    "power-update": (2, 76),
    "accelerator-request-bound": (2, 82),
    "volume-reimaged": (2, 93),
}
ALWAYS = ("network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted")


class Event(Body):
    """An item of ``events``."""

    name: Text
    server_uuid: Uuid
    status: Literal["completed", "failed", "in-progress"] = "completed"
    tag: Text | None = None


class EventsBody(Body):
    """``POST /os-server-external-events``."""

    events: list[Event] = Field(max_length=1000)


async def create(call: Call) -> Reply:
    """Answers each event with a code of its own: 200, or 404 when there is no such server (207 in all)."""
    body = await call.parse(EventsBody)
    for event in body.events:
        if event.name not in ALWAYS and call.version < SINCE.get(event.name, (999, 0)):
            raise Invalid(
                f"Invalid input for field/attribute name. '{event.name}' is not one of the known events."
            )

    def work(tx: Transaction) -> set[str]:
        return {event.server_uuid for event in body.events if servers.find(tx, event.server_uuid)}

    known = await call.ctx.db.read(work)
    answers = [
        event.model_dump(exclude_none=True) | {"code": 200 if event.server_uuid in known else 404}
        for event in body.events
    ]
    failed = any(answer["code"] != 200 for answer in answers)
    return Reply({"events": answers}, 207 if failed else 200)


ROUTES = (
    Route(
        "POST",
        f"{VERSION}/os-server-external-events",
        create,
        Rule("os_compute_api:os-server-external-events:create", SERVICE),
    ),
)

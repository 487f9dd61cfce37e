"""The six older actions of attaching and detaching (api-ref, "Volume actions")."""

from typing import Literal

from pydantic import Field, model_validator

from pumice.api.call import Call, Reply, check
from pumice.api.fields import Body, Host, SomeHost, Text, Uuid
from pumice.api.policy import ADMIN, MEMBER, Rule
from pumice.api.routing import Handler, Route, acts, writes
from pumice.api.volume.connection_info import nested
from pumice.api.volume.waiting import all_ended, ended
from pumice.attachments import legacy
from pumice.model.errors import Retryable
from pumice.store import attachments
from pumice.store.database import Transaction
from pumice.store.serialize import row_by_row

RULE = "volume_extension:volume_actions:"


class Attach(Body):
    """The body of ``os-attach``: the server or host that has the volume, and under which device."""

    mountpoint: Text = Field(min_length=1)
    instance_uuid: Uuid | None = None
    host_name: Text | None = None
    mode: Literal["rw", "ro"] = "rw"

    @model_validator(mode="after")
    def _has_somebody(self) -> "Attach":
        if self.instance_uuid is None and self.host_name is None:
            raise ValueError("'instance_uuid' or 'host_name' is a required property")
        return self


class Detach(Body):
    """The body of a detach: an attachment; without one the volume has only one."""

    attachment_id: Uuid | None = None


class Connect(Body):
    """The body of ``os-initialize_connection``: the host that connects."""

    connector: Host


class Disconnect(Body):
    """The body of ``os-terminate_connection``: the host that disconnects; null or empty is every host."""

    connector: SomeHost


class ForceDetach(Detach):
    """The body of ``os-force_detach``: an attachment, and who is to be disconnected."""

    connector: SomeHost = None


async def unreserve(call: Call) -> Reply:
    """Make a volume ``available`` again, or ``in-use`` when somebody has it: 202, once it is."""
    operations = await call.ctx.db.write(legacy.unreserve, call.who, call.args["id"])
    await all_ended(call, operations, "unreserve the volume")
    return Reply(status=202)


async def initialize_connection(call: Call) -> Reply:
    """Let an initiator in: 200 and how to reach the volume."""
    asked = await call.parse(Connect)
    attachment, operation = await call.ctx.db.write(
        legacy.initialize, call.who, call.args["id"], asked.connector
    )
    await ended(call, operation, "fetch connection information from backend")
    attachment, qos = await call.ctx.db.read(attachments.with_qos, call.who, attachment.id)
    if attachment.portal is None:
        raise Retryable("Unable to fetch connection information from backend: it was ended meanwhile.")
    return Reply({"connection_info": nested(attachment, qos)})


@row_by_row
def _attach(tx: Transaction, call: Call, asked: Attach) -> None:
    legacy.attach(
        tx,
        call.who,
        call.args["id"],
        server_id=asked.instance_uuid,
        host=asked.host_name,
        device=asked.mountpoint,
        mode=asked.mode,
    )


async def terminate_connection(call: Call) -> Reply:
    """Shut an initiator out: 202, once it is."""
    asked = await call.parse(Disconnect)
    operations = await call.ctx.db.write(legacy.terminate, call.who, call.args["id"], asked.connector)
    await all_ended(call, operations, "terminate volume connection from backend")
    return Reply(status=202)


async def detach(call: Call) -> Reply:
    """The volume is free of an attachment: 202, once it is."""
    asked = check(Detach, (await call.json())["os-detach"] or {}, "os-detach")
    operation = await call.ctx.db.write(legacy.detach, call.who, call.args["id"], asked.attachment_id)
    await ended(call, operation, "detach the volume")
    return Reply(status=202)


async def force_detach(call: Call) -> Reply:
    """Detach a volume, whatever state it is in."""
    asked = check(ForceDetach, (await call.json())["os-force_detach"] or {}, "os-force_detach")
    operation = await call.ctx.db.write(legacy.force_detach, call.who, call.args["id"], asked.attachment_id)
    await ended(call, operation, "detach the volume")
    return Reply(status=202)


def _action(name: str, handler: Handler, rule: str, check: str = MEMBER) -> Route:
    return Route("POST", "/volumes/{id}/action", handler, Rule(rule, check), action=name)


ROUTES = (
    _action("os-reserve", writes(legacy.reserve), f"{RULE}reserve"),
    _action("os-unreserve", unreserve, f"{RULE}unreserve"),
    _action("os-initialize_connection", initialize_connection, f"{RULE}initialize_connection"),
    _action("os-attach", acts(_attach, Attach), f"{RULE}attach"),
    _action("os-begin_detaching", writes(legacy.begin_detaching), f"{RULE}begin_detaching"),
    _action("os-roll_detaching", writes(legacy.roll_detaching), f"{RULE}roll_detaching"),
    _action("os-terminate_connection", terminate_connection, f"{RULE}terminate_connection"),
    _action("os-detach", detach, f"{RULE}detach"),
    _action("os-force_detach", force_detach, "volume_extension:volume_admin_actions:force_detach", ADMIN),
)

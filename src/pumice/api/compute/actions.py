"""What can be asked of a server with ``POST /servers/{id}/action`` (api-ref, "Servers - run an action").

The handlers of one action each; the key of the body selects it.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pumice.api.call import Call, Reply
from pumice.api.compute.links import VERSION
from pumice.api.faults import HttpError
from pumice.api.fields import Body, Text, whole
from pumice.api.policy import ADMIN, MEMBER, Rule
from pumice.api.routing import Handler, Route, acts, writes
from pumice.model.errors import Conflict, Invalid
from pumice.model.states import ServerStatus
from pumice.operations.at_once import AtOnce, record
from pumice.servers import console, delete, power
from pumice.store import servers
from pumice.store.database import Transaction


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class Reboot(Body):
    """``reboot``."""

    type: Annotated[Literal["SOFT", "HARD"], BeforeValidator(_upper)]


class Console(Body):
    """``os-getConsoleOutput``: none or a negative number of lines is everything."""

    length: Annotated[int, BeforeValidator(whole), Field(ge=-1)] | None = None


OVERRIDE = Rule("os_compute_api:os-lock-server:unlock:unlock_override", ADMIN)


class Lock(Body):
    """``lock``, since 2.73 with a reason."""

    locked_reason: Annotated[Text, Field(min_length=1)] | None = None


class ResetState(Body):
    """``os-resetState``."""

    state: Literal["active", "error"]


def _reboot(tx: Transaction, call: Call, asked: Reboot) -> None:
    power.accept_reboot(tx, call.who, call.args["id"], hard=asked.type == "HARD")


async def console_output(call: Call) -> Reply:
    """``os-getConsoleOutput``: answers when the server's host has read the log."""
    body = await call.parse(Console)
    lines = body.length if body.length is not None and body.length >= 0 else None
    operation_id = await call.ctx.db.write(console.accept, call.who, call.args["id"], lines)
    try:
        well, error = await call.ctx.completions.wait(operation_id, call.ctx.tunables.api_wait_seconds)
    except TimeoutError:
        raise Conflict(f"Instance {call.args['id']} is not ready: its host does not answer") from None
    if not well:
        raise Conflict(error or f"Instance {call.args['id']} is not ready")
    return Reply({"output": await call.ctx.db.write(console.take_output, operation_id)})


async def lock(call: Call) -> Reply:
    """``lock``: only administrators may change the server until it is unlocked.

    What an administrator has locked stays locked by him, whatever its owner asks.
    """
    asked, reason = (await call.json())["lock"], None
    if asked:
        if call.version < (2, 73):
            raise Invalid(
                f"Invalid input for field/attribute lock. Value: {str(asked)[:100]!r}. It must be null."
            )
        reason = (await call.parse(Lock)).locked_reason
    by = "admin" if call.policy.allows(OVERRIDE, call.who) else "owner"

    def work(tx: Transaction) -> None:
        server = servers.get(tx, call.who, call.args["id"])
        if not server.locked or by == "admin":
            servers.change(tx, server.id, locked=True, locked_by=by, locked_reason=reason)
            record(tx, AtOnce.SERVER_LOCK, server, call.who)

    await call.ctx.db.write(work)
    return Reply(status=202)


def _unlock(tx: Transaction, call: Call) -> None:
    """``unlock``: 403 for who is no administrator, where one has locked it."""
    server = servers.get(tx, call.who, call.args["id"])
    if server.locked_by == "admin":
        call.policy.require(OVERRIDE, call.who, server.project_id)
    servers.change(tx, server.id, locked=False, locked_by=None, locked_reason=None)
    record(tx, AtOnce.SERVER_UNLOCK, server, call.who)


def _reset_state(tx: Transaction, call: Call, asked: ResetState) -> None:
    """``os-resetState``: what the row says, where no operation is about to say otherwise."""
    server = servers.get(tx, call.who, call.args["id"])
    if not servers.put(tx, server.id, ServerStatus.ACTIVE if asked.state == "active" else ServerStatus.ERROR):
        raise Conflict(f"Instance {server.id} is in task_state {server.task}: an operation ends it by itself")
    record(tx, AtOnce.SERVER_RESET_STATUS, server, call.who)


async def create_image(call: Call) -> Reply:
    """``createImage``: not offered."""
    await call.ctx.db.read(servers.get, call.who, call.args["id"])
    raise HttpError(501, "Making an image of a server is not offered: make snapshots of its volumes.")


_PATH = f"{VERSION}/servers/{{id}}/action"


def _action(name: str, handler: Handler, rule: str, check: str = MEMBER, also: tuple[Rule, ...] = ()) -> Route:
    return Route("POST", _PATH, handler, Rule(f"os_compute_api:{rule}", check), action=name, also=also)


ROUTES = (
    _action("os-start", writes(power.accept_start), "servers:start"),
    _action("os-stop", writes(power.accept_stop), "servers:stop"),
    _action("reboot", acts(_reboot, Reboot), "servers:reboot"),
    _action("os-getConsoleOutput", console_output, "os-console-output"),
    _action("lock", lock, "os-lock-server:lock", also=(OVERRIDE,)),
    _action("unlock", acts(_unlock), "os-lock-server:unlock", also=(OVERRIDE,)),
    _action("os-resetState", acts(_reset_state, ResetState), "os-admin-actions:reset_state", ADMIN),
    _action("forceDelete", writes(delete.accept), "os-deferred-delete:force"),
    _action("createImage", create_image, "servers:create_image"),
)

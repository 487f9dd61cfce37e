"""Start, stop and reboot a server: one change at its hypervisor, then the new state in its row.

Powering on gives the machine exactly the disks it should have. So that this is settled when it happens, it
waits until what is under way on the server's disks has ended; meanwhile nothing new begins. Where its volumes
are is learnt anew: an address that has changed since it ran last is no reason to stay off.
"""

from dataclasses import dataclass
from datetime import datetime

from pumice.attachments import renew
from pumice.hypervisor.contract import Power
from pumice.model.errors import Conflict
from pumice.model.ids import ServerId, new_id
from pumice.model.scope import INTERNAL, Scope
from pumice.model.states import ServerStatus
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold, Thing, change, use
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_compute
from pumice.servers.machine import machine_of
from pumice.servers.standing import refuse_locked
from pumice.store import servers
from pumice.store.columns import now
from pumice.store.database import Transaction

S = ServerStatus
_SEEN_AS = {Power.RUNNING: S.ACTIVE, Power.SHUTDOWN: S.SHUTOFF, Power.CRASHED: S.SHUTOFF, None: S.SHUTOFF}
STOP_SECONDS = 60.0
"""How long a guest may take to shut down before the plug is pulled (Nova's ``shutdown_timeout``)."""


@dataclass(frozen=True, slots=True)
class PowerParams:
    """The parameters of the operation."""

    server_id: ServerId
    host: str
    before: str
    """The status to go back to when it fails."""


def accept_start(tx: Transaction, who: Scope, server_id: str) -> None:
    """Answer ``os-start``. Raises ``NotFound`` or ``Conflict``."""
    _accept(tx, who, server_id, START, frozenset({S.SHUTOFF}), "powering-on", "start")


def accept_stop(tx: Transaction, who: Scope, server_id: str) -> None:
    """Answer ``os-stop``. Raises ``NotFound`` or ``Conflict``."""
    _accept(tx, who, server_id, STOP, frozenset({S.ACTIVE, S.ERROR}), "powering-off", "stop")


def accept_stop_again(tx: Transaction, server_id: str, seen: datetime | None) -> bool:
    """Stop a machine that runs although its server is off, if nothing happened to the server since ``seen``."""
    server = servers.find(tx, server_id)
    if server is None or server.operation_id is not None or server.updated_at != seen:
        return False
    _accept(tx, INTERNAL, server_id, STOP, frozenset({S.SHUTOFF}), "powering-off", "stop")
    return True


def accept_reboot(tx: Transaction, who: Scope, server_id: str, *, hard: bool) -> None:
    """Answer ``reboot``. Raises ``NotFound`` or ``Conflict``."""
    if hard:
        states = frozenset({S.ACTIVE, S.SHUTOFF, S.PAUSED, S.ERROR})
        _accept(tx, who, server_id, HARD_REBOOT, states, "rebooting_hard", "reboot", S.HARD_REBOOT)
    else:
        _accept(tx, who, server_id, SOFT_REBOOT, frozenset({S.ACTIVE}), "rebooting", "reboot", S.REBOOT)


def _accept(
    tx: Transaction,
    who: Scope,
    server_id: str,
    verb: Verb[PowerParams],
    states: frozenset[ServerStatus],
    task: str,
    doing: str,
    meanwhile: ServerStatus | None = None,
) -> None:
    server = servers.get(tx, who, server_id)
    refuse_locked(server, who)
    operation_id = new_id()
    servers.begin(tx, server, states, task, operation_id, doing, meanwhile)
    if server.host is None:
        raise Conflict(f"Instance {server.id} runs on no host.")
    params = PowerParams(server.id, server.host, server.status)
    enqueue(tx, verb, params, subject=server.id, who=who, id=operation_id)


def changes_server(op: Operation[PowerParams]) -> tuple[Hold]:
    """The hold of what gives the machine its disks anew: none may come or go meanwhile."""
    return (change(Thing.SERVER, op.params.server_id),)


def uses_server(op: Operation[PowerParams]) -> tuple[Hold]:
    """The hold of what leaves the machine its disks."""
    return (use(Thing.SERVER, op.params.server_id),)


def renew_connections(tx: Transaction, op: Operation[PowerParams], tunables: Tunables) -> None:
    """Begin to learn anew where the server's volumes are: it connects to all of them."""
    op.notes["connections"] = renew.accept_for_server(tx, op.params.server_id, op.params.host, op)


async def power_on(op: Operation[PowerParams], drivers: Drivers) -> None:
    """Power the machine on with the disks it should have."""
    machine = await machine_of(drivers, op.params.server_id)
    await drivers.hypervisors[op.params.host].start(machine)


async def power_off(op: Operation[PowerParams], drivers: Drivers) -> None:
    """Shut the guest down, or pull the plug when it does not."""
    await drivers.hypervisors[op.params.host].stop(op.params.server_id, STOP_SECONDS)


async def ask_to_reboot(op: Operation[PowerParams], drivers: Drivers) -> None:
    """Ask the guest to reboot."""
    await drivers.hypervisors[op.params.host].reboot(op.params.server_id, hard=False)


async def pull_the_plug(op: Operation[PowerParams], drivers: Drivers) -> None:
    """Power the machine off at once."""
    await drivers.hypervisors[op.params.host].stop(op.params.server_id, 0.0)


async def see_what_it_is(op: Operation[PowerParams], drivers: Drivers) -> None:
    """Take nothing back: note whether the machine is on, for what is said of the server."""
    power = await drivers.hypervisors[op.params.host].power(op.params.server_id)
    op.notes["power"] = None if power is None else power.value


def is_active(tx: Transaction, op: Operation[PowerParams], tunables: Tunables) -> None:
    """Say that the server runs: ``ACTIVE``."""
    servers.end(tx, op.params.server_id, op.id, status=S.ACTIVE, fault=None)


def is_off(tx: Transaction, op: Operation[PowerParams], tunables: Tunables) -> None:
    """The server is off."""
    servers.end(tx, op.params.server_id, op.id, status=S.SHUTOFF, fault=None)


def explain(tx: Transaction, op: Operation[PowerParams], error: str) -> None:
    """The server is as its machine was seen last, else as it was before; its fault says what happened."""
    status = op.params.before
    if status in _SEEN_AS.values():
        status = _SEEN_AS.get(op.notes.get("power", ""), status)
    fault = {"code": 500, "message": error, "created": now().isoformat(timespec="seconds") + "Z"}
    servers.end(tx, op.params.server_id, op.id, status=status, fault=fault)


START = Verb(
    kind="server.start",
    params=PowerParams,
    holds=changes_server,
    steps=(
        Wait("others", at=on_compute, whatever=True),
        Step(renew_connections, at=on_compute),
        Wait("connections", at=on_compute, whatever=True),
        Step(power_on, undo=see_what_it_is, at=on_compute, timeout=300),
        Step(is_active, at=on_compute),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=600,
)
STOP = Verb(
    kind="server.stop",
    params=PowerParams,
    holds=uses_server,
    steps=(
        Step(power_off, undo=see_what_it_is, at=on_compute, timeout=STOP_SECONDS + 60),
        Step(is_off, at=on_compute),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=600,
)
SOFT_REBOOT = Verb(
    kind="server.reboot",
    params=PowerParams,
    holds=uses_server,
    steps=(Step(ask_to_reboot, at=on_compute), Step(is_active, at=on_compute)),
    failed=explain,
    spares_bytes=True,
    deadline=300,
)
HARD_REBOOT = Verb(
    kind="server.hard_reboot",
    params=PowerParams,
    holds=changes_server,
    steps=(
        Wait("others", at=on_compute, whatever=True),
        Step(pull_the_plug, undo=see_what_it_is, at=on_compute),
        Step(renew_connections, at=on_compute),
        Wait("connections", at=on_compute, whatever=True),
        Step(power_on, at=on_compute, timeout=300),
        Step(is_active, at=on_compute),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=600,
)

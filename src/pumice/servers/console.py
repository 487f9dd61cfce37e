"""Read a server's console: an operation, because the log lies on the server's host."""

from dataclasses import dataclass

from pumice.model.errors import Conflict
from pumice.model.ids import ServerId
from pumice.model.scope import Scope
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_compute
from pumice.store import operations, servers
from pumice.store.database import Transaction


@dataclass(frozen=True, slots=True)
class ConsoleParams:
    """The parameters of the operation."""

    server_id: ServerId
    host: str
    lines: int | None


def accept(tx: Transaction, who: Scope, server_id: str, lines: int | None) -> str:
    """Begin to read; the operation's id. Raises ``NotFound`` or ``Conflict``."""
    server = servers.get(tx, who, server_id)
    if server.host is None:
        raise Conflict(f"Instance {server.id} is not ready")
    params = ConsoleParams(server.id, server.host, lines)
    return enqueue(tx, CONSOLE, params, subject=server.id, who=who).id


def take_output(tx: Transaction, operation_id: str) -> str:
    """Take the output that was read, once: it is not kept."""
    return str(operations.take_notes(tx, operation_id).get("output", ""))


async def read(op: Operation[ConsoleParams], drivers: Drivers) -> None:
    """Read the end of the log."""
    hypervisor = drivers.hypervisors[op.params.host]
    op.notes["output"] = await hypervisor.console(op.params.server_id, op.params.lines)


def explain(tx: Transaction, op: Operation[ConsoleParams], error: str) -> None:
    """Change nothing. The request that waits tells why."""


CONSOLE = Verb(
    kind="server.console",
    params=ConsoleParams,
    holds=lambda _: (),
    steps=(Step(read, at=on_compute),),
    failed=explain,
    spares_bytes=True,
    deadline=30,
)

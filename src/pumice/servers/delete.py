"""Delete a server.

1. ``accept``: ``deleting``; whatever else is under way on the server is asked to stop
2. ``wait_for_others``: until it has
3. ``remove_machine``: the guest is off and the machine forgotten
4. ``let_go_of_volumes``, ``wait_for_disconnections``: its volumes are free
5. ``forget``: the row is gone; volumes that were to end with the server are deleted

Which volumes end with it is decided in the request: one that is being detached already does not, one of a boot
that is broken off here does.
"""

from dataclasses import dataclass

from pumice.attachments import disconnect
from pumice.model.ids import ServerId, new_id
from pumice.model.scope import INTERNAL, Scope
from pumice.model.states import ServerStatus
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_compute, scheduler
from pumice.servers.standing import refuse_locked
from pumice.store import attachments, operations, servers
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.volumes import delete_when_free

OWNER = "owner"
"""The note with the user whose server it was."""


@dataclass(frozen=True, slots=True)
class DeleteServerParams:
    """The parameters of the operation."""

    server_id: ServerId


def accept(tx: Transaction, who: Scope, server_id: str) -> None:
    """Answer the request. A second one changes nothing. Raises ``NotFound`` or ``Conflict``."""
    server = servers.get(tx, who, server_id)
    refuse_locked(server, who)
    if server.task == "deleting":
        return
    operation_id = new_id()
    doomed = [
        disk.volume_id for disk in servers.disks(tx, server.id) if disk.volume_id and disk.delete_on_termination
    ]
    servers.change(tx, server.id, task="deleting", operation_id=operation_id)
    begun = enqueue(
        tx,
        DELETE_SERVER,
        DeleteServerParams(server.id),
        subject=server.id,
        who=who,
        id=operation_id,
        notes={"doomed": doomed, OWNER: server.user_id},
    )
    for other in begun.notes.get("others", ()):
        operations.ask_to_cancel(tx, other)


def find_host(tx: Transaction, op: Operation[DeleteServerParams], tunables: Tunables) -> None:
    """Note where the machine is, if it came to one."""
    server = servers.find(tx, op.params.server_id)
    op.notes["host"] = server.host if server else None


async def remove_machine(op: Operation[DeleteServerParams], drivers: Drivers) -> None:
    """Turn the guest off, and forget the machine."""
    if host := op.notes.get("host"):
        await drivers.hypervisors[host].delete(op.params.server_id)


def let_go_of_volumes(tx: Transaction, op: Operation[DeleteServerParams], tunables: Tunables) -> None:
    """Begin to disconnect every volume."""
    links = attachments.of_server(tx, op.params.server_id)
    begun = [disconnect.accept(tx, INTERNAL, link, parent=op) for link in links]
    op.notes["disconnections"] = [operation_id for operation_id in begun if operation_id]


def forget(tx: Transaction, op: Operation[DeleteServerParams], tunables: Tunables) -> None:
    """The row is gone, and so will be the volumes that were to end with it."""
    servers.delete(tx, op.params.server_id)
    for volume_id in op.notes["doomed"]:
        delete_when_free.accept(tx, volume_id)


def explain(tx: Transaction, op: Operation[DeleteServerParams], error: str) -> None:
    """The server is in ``ERROR`` and may be deleted again; its fault says why."""
    fault = {"code": 500, "message": error, "created": now().isoformat(timespec="seconds") + "Z"}
    servers.end(tx, op.params.server_id, op.id, status=ServerStatus.ERROR, fault=fault)


DELETE_SERVER = Verb(
    kind="server.delete",
    params=DeleteServerParams,
    holds=lambda op: (change(Thing.SERVER, op.params.server_id),),
    steps=(
        Wait("others", at=scheduler, whatever=True),
        Step(find_host, at=scheduler),
        Step(remove_machine, at=on_compute, tries=1000, timeout=300, takes_away=True),
        Step(let_go_of_volumes, at=scheduler),
        Wait("disconnections", at=scheduler),
        Step(forget, at=scheduler),
    ),
    failed=explain,
    deadline=3600,
    again=lambda tx, op, who, _: accept(tx, who, op.params.server_id),
)

"""Attach a volume to a server.

1. ``accept``, in the request's transaction: the volume is taken, the device name chosen, the attachment and the
   server's disk are there for everybody to see. Two requests at once never get one name or one volume.
2. ``export``: the volume's host lets the server's host in
3. ``plug``: the server's hypervisor plugs the disk in
4. ``complete``: ``in-use``, attached

If it fails, disk and export are gone again, the volume is ``available`` and a message says why. Not before they
are gone: where the deadline passes while a host is away that may still have the disk, the attachment is in
``error_attaching``, and the volume becomes free when the host has come back and let go.
"""

from dataclasses import dataclass

from pumice.attachments import exports
from pumice.attachments.exports import export, remove_export
from pumice.attachments.reserve import complete as complete_attachment
from pumice.attachments.reserve import reserve
from pumice.model.errors import Conflict, InvalidState
from pumice.model.export import of_row
from pumice.model.ids import AttachmentId, ServerId, VolumeId, new_id
from pumice.model.scope import INTERNAL, Scope
from pumice.model.server import Server, ServerDisk, cannot
from pumice.model.states import AttachStatus, ServerStatus
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, own, use
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend, on_compute
from pumice.servers.machine import read_disk, unplug_disk
from pumice.servers.standing import refuse_locked
from pumice.store import attachments, messages, servers, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event

S = ServerStatus
ATTACHABLE = frozenset({S.ACTIVE, S.PAUSED, S.SHUTOFF})


@dataclass(frozen=True, slots=True)
class AttachParams:
    """The parameters of the operation."""

    server_id: ServerId
    host: str
    volume_id: VolumeId
    attachment_id: AttachmentId
    device: str
    pool: str
    initiator: str
    username: str


def accept(
    tx: Transaction,
    who: Scope,
    server_id: str,
    volume_id: str,
    *,
    tag: str | None = None,
    delete_on_termination: bool = False,
) -> ServerDisk:
    """Answer the request: the server's new disk. Its name is the next that is free, as the guest's will be.

    Raises ``NotFound``, ``Conflict`` (the server's state) or ``InvalidState`` (the volume's).
    """
    server = servers.get(tx, who, server_id)
    host = must_take_disks(server, who, "attach_volume")
    if any(disk.volume_id == volume_id for disk in servers.disks(tx, server.id)):
        raise InvalidState(f"Invalid volume: volume {volume_id} already attached.")
    account = exports.new_account(servers.connector_of(tx, host))
    operation_id = new_id()
    name = servers.free_device(tx, server.id)
    link = reserve(
        tx,
        who,
        volume_id,
        server_id=server.id,
        status=AttachStatus.ATTACHING,
        device=f"/dev/{name}",
        operation_id=operation_id,
        **account.columns(),
    )
    volume = volumes.get(tx, who, volume_id)
    if volume.pool is None:
        raise InvalidState(f"Invalid volume: volume {volume.id} has no bytes on any backend.")
    exports.must_get_in(tx, volume.pool, account.connector)
    disk = ServerDisk(
        id=new_id(),
        server_id=server.id,
        device=name,
        volume_id=volume.id,
        attachment_id=link.id,
        image_id=None,
        boot_index=None,
        delete_on_termination=delete_on_termination,
        tag=tag,
        created_at=now(),
    )
    servers.add_disk(tx, disk)
    params = AttachParams(
        server_id=server.id,
        host=host,
        volume_id=volume.id,
        attachment_id=link.id,
        device=name,
        pool=volume.pool,
        initiator=account.connector.initiator,
        username=account.username,
    )
    enqueue(tx, ATTACH_VOLUME, params, subject=server.id, who=who, id=operation_id)
    return disk


def must_take_disks(server: Server, who: Scope, doing: str) -> str:
    """The server's host, if its state lets disks come and go. Raises ``Conflict``."""
    refuse_locked(server, who)
    if server.host is None or server.task is not None or server.status not in ATTACHABLE:
        raise Conflict(cannot(server, doing))
    return server.host


def let_go(tx: Transaction, op: Operation[AttachParams], tunables: Tunables) -> None:
    """Forget disk and attachment, and free the volume: no host has the disk any more."""
    servers.remove_disk(tx, op.params.attachment_id)
    attachments.delete(tx, op.params.attachment_id)
    attachments.let_volume_follow(tx, op.params.volume_id)


def note_portal(tx: Transaction, op: Operation[AttachParams], tunables: Tunables) -> None:
    """Say where the export is."""
    attachments.change(tx, op.params.attachment_id, portal=of_row(op.notes["portal"]))


async def plug(op: Operation[AttachParams], drivers: Drivers) -> None:
    """Plug the disk into the machine."""
    disk = await drivers.db.read(read_disk, op.params.server_id, op.params.attachment_id)
    await drivers.hypervisors[op.params.host].attach(op.params.server_id, disk)


async def unplug(op: Operation[AttachParams], drivers: Drivers) -> None:
    """Take the disk out of the machine again, however long the guest needs.

    With a server that is being deleted its disks go anyway, but not a disk's secret: that is forgotten here.
    """
    server = await drivers.db.read(servers.find, op.params.server_id)
    if server is None or server.task != "deleting":
        await unplug_disk(drivers, op.params.host, op.params.server_id, op.params)
    else:
        await drivers.hypervisors[op.params.host].forget_secret(op.params.attachment_id)


def complete(tx: Transaction, op: Operation[AttachParams], tunables: Tunables) -> None:
    """Set attachment and volume in use."""
    complete_attachment(tx, INTERNAL, op.params.attachment_id)


def explain(tx: Transaction, op: Operation[AttachParams], error: str) -> None:
    """Tell the tenant why it failed. An attachment that is still there is waiting for its undo."""
    asked = op.params
    if attachments.settle(tx, asked.attachment_id, op.id, status=AttachStatus.ERROR_ATTACHING):
        attachments.let_volume_follow(tx, asked.volume_id)
    if op.project_id:
        messages.tell(tx, op.project_id, Event.ATTACH_VOLUME, asked.volume_id, error, op.request_id)


ATTACH_VOLUME = Verb(
    kind="server.attach_volume",
    params=AttachParams,
    holds=lambda op: (
        use(Thing.SERVER, op.params.server_id),
        own(Thing.ATTACHMENT, op.params.attachment_id),
        use(Thing.VOLUME, op.params.volume_id),
    ),
    steps=(
        Step(None, undo=let_go, at=on_backend, called="hold"),
        Step(export, undo=remove_export, at=on_backend),
        Step(note_portal, at=on_backend),
        Step(plug, undo=unplug, at=on_compute),
        Step(complete, at=on_compute),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=300,
)

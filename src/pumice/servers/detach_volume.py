"""Detach a volume from a server.

1. ``accept``: ``detaching``, so that nobody else acts on it; the root disk stays
2. ``unplug``: the hypervisor takes the disk out, and the guest let go of it
3. ``remove_export``: the volume's host shuts the server's host out
4. ``free``: attachment and disk are gone, the volume ``available`` (or ``in-use`` while others remain)

A guest that does not let go keeps the disk: the volume is ``in-use`` again and a message says so. Once the
guest has let go there is no way back, and the rest is done until it succeeds, or its time is over or somebody
cancels it: then the attachment is in ``error_detaching``, a message says why, and it can be asked for again.
"""

from dataclasses import dataclass

from pumice.attachments.exports import remove_export
from pumice.model.errors import Invalid
from pumice.model.ids import AttachmentId, ServerId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change, use
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend, on_compute
from pumice.servers.attach_volume import must_take_disks
from pumice.servers.machine import unplug_disk
from pumice.store import attachments, messages, servers, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event

A, V = AttachStatus, VolumeStatus


@dataclass(frozen=True, slots=True)
class DetachParams:
    """The parameters of the operation."""

    server_id: ServerId
    host: str
    disk_id: str
    volume_id: VolumeId
    attachment_id: AttachmentId
    device: str
    pool: str
    initiator: str
    username: str
    delete_on_termination: bool
    """What was to become of the volume with the server, for the case that it stays."""


def accept(tx: Transaction, who: Scope, server_id: str, volume_id: str) -> None:
    """Answer the request. Raises ``NotFound``, ``Conflict``, ``Invalid`` or ``InvalidState``."""
    server = servers.get(tx, who, server_id)
    disk = servers.disk_of_volume(tx, server.id, volume_id)
    if disk.boot_index == 0:
        raise Invalid("Cannot detach a root device volume")
    host = must_take_disks(server, who, "detach_volume")
    volume = volumes.get(tx, who, volume_id)
    operation_id = new_id()
    link = attachments.get(tx, who, disk.attachment_id or "")
    assert volume.pool is not None
    if not volume.multiattach:
        volumes.move(tx, volume.id, {V.IN_USE}, V.DETACHING, must="be 'in-use' to detach")
    attachments.move(tx, link.id, {A.ATTACHED, A.ERROR_DETACHING}, A.DETACHING, operation_id=operation_id)
    params = DetachParams(
        server_id=server.id,
        host=host,
        disk_id=disk.id,
        volume_id=volume.id,
        attachment_id=link.id,
        device=disk.device,
        pool=volume.pool,
        initiator=link.connector.initiator if link.connector else "",
        username=link.chap_username or "",
        delete_on_termination=disk.delete_on_termination,
    )
    # From now on the volume is no part of the server: one that is deleted meanwhile does not take it along.
    servers.change_disk(tx, disk.id, delete_on_termination=False)
    enqueue(tx, DETACH_VOLUME, params, subject=server.id, who=who, id=operation_id)


async def unplug(op: Operation[DetachParams], drivers: Drivers) -> None:
    """Take the disk out of the machine. Raises ``GuestKeepsDisk``."""
    await unplug_disk(drivers, op.params.host, op.params.server_id, op.params)
    op.notes["unplugged"] = True


def free(tx: Transaction, op: Operation[DetachParams], tunables: Tunables) -> None:
    """Free the volume of the server."""
    servers.remove_disk(tx, op.params.attachment_id)
    attachments.delete(tx, op.params.attachment_id)
    attachments.let_volume_follow(tx, op.params.volume_id)


def explain(tx: Transaction, op: Operation[DetachParams], error: str) -> None:
    """The volume stays with the server, and the tenant can read why."""
    asked = op.params
    stays = A.ERROR_DETACHING if op.notes.get("unplugged") else A.ATTACHED
    if attachments.settle(tx, asked.attachment_id, op.id, status=stays):
        attachments.let_volume_follow(tx, asked.volume_id)
        servers.change_disk(tx, asked.disk_id, delete_on_termination=asked.delete_on_termination)
    if op.project_id:
        messages.tell(tx, op.project_id, Event.DETACH_VOLUME, asked.volume_id, error, op.request_id)


DETACH_VOLUME = Verb(
    kind="server.detach_volume",
    params=DetachParams,
    holds=lambda op: (
        use(Thing.SERVER, op.params.server_id),
        change(Thing.ATTACHMENT, op.params.attachment_id),
        use(Thing.VOLUME, op.params.volume_id),
    ),
    steps=(
        Step(unplug, at=on_compute, timeout=300, takes_away=True),
        Step(remove_export, at=on_backend, tries=1000, takes_away=True),
        Step(free, at=on_backend),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=600,
    again=lambda tx, op, who, _: accept(tx, who, op.params.server_id, op.params.volume_id),
)

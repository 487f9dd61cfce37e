"""Learn anew where an attachment's volume is: addresses, names and ports change while it stands.

1. ``accept``: what its host says today of itself, in the row
2. ``wait_for_others``: a disconnection, say
3. ``export``: the volume's host lets the initiator in, again if it was
4. ``publish``: where the export is by now, in the row

Done before whatever connects: a server's start, its reboot, the plugging of a disk, a client that asks how to
connect. Whoever waits goes on with what was true last if this fails or does not end soon: the volume's host may
be away while its target goes on.
"""

from dataclasses import dataclass
from typing import Any

from pumice.attachments.exports import export, lock_volume
from pumice.model.connector import Connector
from pumice.model.export import of_row
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.scope import INTERNAL, Scope
from pumice.model.states import GETS_IN
from pumice.model.tunables import Tunables
from pumice.model.volume import Attachment
from pumice.operations.holds import Thing, use
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend
from pumice.store import attachments, servers, volumes
from pumice.store.database import Transaction


@dataclass(frozen=True, slots=True)
class RenewParams:
    """The parameters of the operation."""

    attachment_id: AttachmentId
    volume_id: VolumeId
    pool: str
    initiator: str
    username: str


def accept(
    tx: Transaction,
    who: Scope,
    attachment: Attachment,
    connector: Connector,
    parent: Operation[Any] | None = None,
) -> str | None:
    """Begin; the id of the operation, or of the one that holds it and will say. None: it is not connected.

    What the host of a server says of itself only a service can tell; of anybody else's word nothing is noted.
    """
    volume = volumes.find(tx, attachment.volume_id)
    connected = attachment.portal is not None and attachment.status in GETS_IN
    if not connected or attachment.operation_id or volume is None or volume.pool is None:
        return attachment.operation_id
    if who.is_service or attachment.server_id is None:
        host = connector.host or attachment.host
        attachments.change(tx, attachment.id, connector=connector, host=host)
    else:
        connector = attachment.connector or Connector()
    params = RenewParams(
        attachment_id=attachment.id,
        volume_id=volume.id,
        pool=volume.pool,
        initiator=connector.initiator,
        username=attachment.chap_username or "",
    )
    return enqueue(tx, RENEW, params, subject=attachment.id, who=who, parent=parent).id


def accept_for_server(tx: Transaction, server_id: str, host: str, parent: Operation[Any]) -> list[str]:
    """Begin with every volume that is connected to a server's host; the operations' ids."""
    links = [link for link in attachments.of_server(tx, server_id) if link.portal and link.status in GETS_IN]
    connector = servers.connector_of(tx, host) if links else Connector()
    begun = [accept(tx, INTERNAL, link, connector, parent) for link in links]
    return [operation_id for operation_id in begun if operation_id]


def publish(tx: Transaction, op: Operation[RenewParams], tunables: Tunables) -> None:
    """Say where the export is."""
    attachments.change(tx, op.params.attachment_id, portal=of_row(op.notes["portal"]))


def explain(tx: Transaction, op: Operation[RenewParams], error: str) -> None:
    """Leave the attachment as it was: what was true last may be still."""


RENEW = Verb(
    kind="attachment.renew",
    params=RenewParams,
    steps=(
        Wait("others", at=on_backend, whatever=True),
        Step(export, at=on_backend, timeout=30),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    spares_bytes=True,
    locks=lock_volume,
    holds=lambda op: (use(Thing.ATTACHMENT, op.params.attachment_id),),
    deadline=30,
)

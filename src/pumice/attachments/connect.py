"""Connect an attachment: export its volume to the initiator that its connector names.

1. ``accept_new``, ``accept_known`` or ``accept_unmoved``: the connector and a CHAP account of its own, in the
   attachment's row
2. ``export``: the volume's host lets the initiator in
3. ``publish``: where the export is, in the row

If it fails, a new attachment is gone again, and a known one is as it was before.
"""

from dataclasses import dataclass
from typing import Any

from pumice.attachments import exports, renew
from pumice.attachments.exports import export, lock_volume, remove_export
from pumice.attachments.reserve import link, reserve
from pumice.model.connector import Connector
from pumice.model.errors import InvalidState
from pumice.model.export import of_row
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Attachment, Volume
from pumice.operations.holds import Thing, own, use
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import attachments, volumes
from pumice.store.database import Transaction
from pumice.store.serialize import row_by_row

A = AttachStatus


@dataclass(frozen=True, slots=True)
class ConnectParams:
    """The parameters of the operation."""

    attachment_id: AttachmentId
    volume_id: VolumeId
    pool: str
    initiator: str
    username: str
    before: str | None
    """The status the attachment had before and has again if this fails; None: it is new, and goes."""


def accept_new(
    tx: Transaction, who: Scope, volume_id: str, *, server_id: str | None, mode: str, connector: Connector
) -> tuple[Attachment, str]:
    """A new attachment, being connected, and its operation's id. Raises as ``reserve`` does, or ``Invalid``."""
    account = exports.new_account(connector)
    operation_id = new_id()
    attachment = reserve(
        tx,
        who,
        volume_id,
        server_id=server_id,
        mode=mode,
        status=A.ATTACHING,
        device=connector.mountpoint or None,
        operation_id=operation_id,
        **account.columns(),
    )
    _enqueue(tx, who, attachment, account, before=None, operation_id=operation_id)
    return attachment, operation_id


@row_by_row
def accept_known(
    tx: Transaction,
    who: Scope,
    attachment_id: str,
    connector: Connector,
    parent: Operation[Any] | None = None,
) -> str | None:
    """Connect a reserved attachment; the operation's id. For an initiator that is connected: where, by now.

    Raises ``NotFound``, ``Invalid`` or ``InvalidState``.
    """
    attachment = attachments.get_locked(tx, who, attachment_id)
    account = exports.new_account(connector)
    if attachment.connector is not None:
        if connector.is_same_host(attachment.connector) and attachment.portal is not None:
            return renew.accept(tx, who, attachment, connector, parent)
        raise InvalidState("Invalid attachment: it is connected, or being connected, to an initiator already.")
    operation_id = new_id()
    columns = account.columns() | {
        "device": attachment.device or connector.mountpoint or None,
        "operation_id": operation_id,
    }
    attachments.bury_account(tx, attachment.id)
    attachments.move(tx, attachment.id, {A.RESERVED}, A.ATTACHING, **columns)
    attachments.let_volume_follow(tx, attachment.volume_id)
    _enqueue(tx, who, attachment, account, before=A.RESERVED, operation_id=operation_id, parent=parent)
    return operation_id


def accept_unmoved(
    tx: Transaction, who: Scope, volume: Volume, attachment: Attachment | None, connector: Connector
) -> tuple[Attachment, str]:
    """Connect a volume that stays in its state: an attachment that has no connector, or else a new one.

    The attachment and the operation's id. Raises ``Invalid``.
    """
    account = exports.new_account(connector)
    operation_id = new_id()
    before = attachment.status if attachment else None
    if attachment is None:
        columns = account.columns() | {
            "device": connector.mountpoint or None,
            "operation_id": operation_id,
            "older": True,
        }
        attachment = link(tx, volume, server_id=None, status=A.ATTACHING, **columns)
    else:
        attachments.bury_account(tx, attachment.id)
        attachments.change(tx, attachment.id, operation_id=operation_id, **account.columns())
    _enqueue(tx, who, attachment, account, before=before, operation_id=operation_id)
    return attachment, operation_id


def _enqueue(
    tx: Transaction,
    who: Scope,
    attachment: Attachment,
    account: exports.Account,
    *,
    before: str | None,
    operation_id: str,
    parent: Operation[Any] | None = None,
) -> None:
    volume = volumes.find(tx, attachment.volume_id)
    assert volume is not None
    if volume.pool is None:
        raise InvalidState(f"Invalid volume: volume {volume.id} has no bytes on any backend.")
    exports.must_get_in(tx, volume.pool, account.connector)
    params = ConnectParams(
        attachment_id=attachment.id,
        volume_id=volume.id,
        pool=volume.pool,
        initiator=account.connector.initiator,
        username=account.username,
        before=before,
    )
    enqueue(tx, CONNECT, params, subject=attachment.id, who=who, id=operation_id, parent=parent)


def publish(tx: Transaction, op: Operation[ConnectParams], tunables: Tunables) -> None:
    """Say where the export is."""
    attachments.settle(tx, op.params.attachment_id, op.id, portal=of_row(op.notes["portal"]))


def explain(tx: Transaction, op: Operation[ConnectParams], error: str) -> None:
    """Put the attachment back as it was before. The request that waits tells why."""
    nothing = dict.fromkeys(("connector", "host", "chap_username", "chap_password", "portal"))
    before = op.params.before
    attachments.bury_account(tx, op.params.attachment_id)
    if attachments.settle(tx, op.params.attachment_id, op.id, status=before or A.RESERVED, **nothing):
        if before is None:
            attachments.delete(tx, op.params.attachment_id)
        attachments.let_volume_follow(tx, op.params.volume_id)


CONNECT = Verb(
    kind="attachment.connect",
    params=ConnectParams,
    holds=lambda op: (own(Thing.ATTACHMENT, op.params.attachment_id), use(Thing.VOLUME, op.params.volume_id)),
    steps=(Step(export, undo=remove_export, at=on_backend), Step(publish, at=on_backend)),
    failed=explain,
    spares_bytes=True,
    locks=lock_volume,
    deadline=300,
)

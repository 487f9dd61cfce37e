"""Disconnect an attachment: shut its initiator out, then free the volume.

1. ``accept``: ``detaching``; an attachment that was never connected is gone at once
2. ``wait_for_others``: until what else is under way on the attachment, or changes its volume, has ended
3. ``remove_export``: the volume's host shuts the initiator out and ends its sessions
4. ``free``: the row is gone, and the volume ``available`` if that was the last

Nothing is undone: each step is done again until it succeeds. If the deadline passes first, the attachment is in
``error_detaching``, the volume stays in use, and the tenant can read why and try again.
"""

from dataclasses import dataclass
from typing import Any

from pumice.attachments.exports import lock_volume, remove_export
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Attachment
from pumice.operations.at_once import AtOnce, record
from pumice.operations.holds import Thing, change, use
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend
from pumice.store import attachments, messages, servers, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event

A = AttachStatus


@dataclass(frozen=True, slots=True)
class DisconnectParams:
    """The parameters of the operation."""

    attachment_id: AttachmentId
    volume_id: VolumeId
    pool: str
    initiator: str
    username: str
    keep: bool
    """Whether the attachment stays until ``os-detach``, and only the initiator is shut out."""


def accept(
    tx: Transaction,
    who: Scope,
    attachment: Attachment,
    *,
    keep: bool = False,
    parent: Operation[Any] | None = None,
) -> str | None:
    """Begin to disconnect; the operation's id, or None when there was nothing to disconnect."""
    volume = volumes.find(tx, attachment.volume_id)
    if attachment.connector is None or volume is None or volume.pool is None:
        if not keep:
            _free(tx, attachment.id, attachment.volume_id)
            record(tx, AtOnce.ATTACHMENT_DELETE, attachment, who, parent=parent)
        return None
    operation_id = new_id()
    if not keep:
        attachments.move(tx, attachment.id, frozenset(A), A.DETACHING, operation_id=operation_id)
        attachments.let_volume_follow(tx, attachment.volume_id)
    params = DisconnectParams(
        attachment_id=attachment.id,
        volume_id=attachment.volume_id,
        pool=volume.pool,
        initiator=attachment.connector.initiator,
        username=attachment.chap_username or "",
        keep=keep,
    )
    enqueue(tx, DISCONNECT, params, subject=attachment.id, who=who, id=operation_id, parent=parent)
    return operation_id


def ask_again(tx: Transaction, op: Operation[DisconnectParams], who: Scope, tunables: Tunables) -> None:
    """Begin again with what is left of the attachment. Raises ``NotFound``."""
    accept(tx, who, attachments.get(tx, who, op.params.attachment_id), keep=op.params.keep)


def free(tx: Transaction, op: Operation[DisconnectParams], tunables: Tunables) -> None:
    """Free the volume of this attachment."""
    if op.params.keep:
        attachments.change(tx, op.params.attachment_id, connector=None, portal=None)
    else:
        _free(tx, op.params.attachment_id, op.params.volume_id)


def _free(tx: Transaction, attachment_id: str, volume_id: str) -> None:
    servers.unlink_disk(tx, attachment_id)
    attachments.delete(tx, attachment_id)
    attachments.let_volume_follow(tx, volume_id, freed=True)


def explain(tx: Transaction, op: Operation[DisconnectParams], error: str) -> None:
    """The attachment is in ``error_detaching``, and its owner can read why."""
    attachment = attachments.find(tx, op.params.attachment_id)
    if attachment is None or not attachments.settle(tx, attachment.id, op.id, status=A.ERROR_DETACHING):
        return
    attachments.let_volume_follow(tx, op.params.volume_id)
    messages.tell(tx, attachment.project_id, Event.DETACH_VOLUME, op.params.volume_id, error, op.request_id)


DISCONNECT = Verb(
    kind="attachment.disconnect",
    params=DisconnectParams,
    holds=lambda op: (
        change(Thing.ATTACHMENT, op.params.attachment_id),
        use(Thing.VOLUME, op.params.volume_id),
    ),
    steps=(
        Wait("others", at=on_backend, whatever=True),
        Step(remove_export, at=on_backend, tries=1000, takes_away=True),
        Step(free, at=on_backend),
    ),
    failed=explain,
    spares_bytes=True,
    locks=lock_volume,
    deadline=600,
    again=ask_again,
)

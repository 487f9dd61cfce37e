"""Reserve a volume for somebody: an attachment without a connector yet. Changes rows only.

available --(reserve)--> reserved --(connect)--> attaching --(complete)--> in-use
"""

from typing import Any

from pumice.model.ids import AttachmentId, ServerId, new_id
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus, VolumeStatus
from pumice.model.volume import Attachment, Volume
from pumice.operations.holds import Thing, require, use
from pumice.store import attachments, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction

A, V = AttachStatus, VolumeStatus


def take_volume(tx: Transaction, who: Scope, volume_id: str, status: VolumeStatus) -> Volume:
    """Take the volume for an attachment: of two who try at once, one gets ``InvalidState``.

    A multiattach volume may be in use already, and then stays so.
    """
    volumes.lock(tx, volume_id)
    volume = volumes.get(tx, who, volume_id)
    if volume.multiattach and volume.status == V.IN_USE:
        return volume
    volumes.move(tx, volume.id, {V.AVAILABLE}, status, must="be available to be attached or reserved")
    require(tx, use(Thing.VOLUME, volume.id))
    return volume


def reserve(
    tx: Transaction,
    who: Scope,
    volume_id: str,
    *,
    server_id: str | None,
    mode: str = "rw",
    status: AttachStatus = A.RESERVED,
    **columns: Any,
) -> Attachment:
    """A new attachment in ``status``, and the volume taken for it. Raises ``NotFound`` or ``InvalidState``."""
    volume = take_volume(tx, who, volume_id, V.ATTACHING if status == A.ATTACHING else V.RESERVED)
    return link(tx, volume, server_id=server_id, mode=mode, status=status, **columns)


def link(
    tx: Transaction,
    volume: Volume,
    *,
    server_id: str | None,
    mode: str = "rw",
    status: AttachStatus = A.RESERVED,
    **columns: Any,
) -> Attachment:
    """A new attachment of a volume that was taken before."""
    attachment = Attachment(
        id=AttachmentId(new_id()),
        volume_id=volume.id,
        project_id=volume.project_id,
        server_id=ServerId(server_id) if server_id else None,
        host=columns.get("host"),
        device=columns.get("device"),
        status=status,
        mode="ro" if volume.read_only else mode,
        connector=columns.get("connector"),
        portal=None,
        chap_username=columns.get("chap_username"),
        chap_password=columns.get("chap_password"),
        operation_id=columns.get("operation_id"),
        attached_at=columns.get("attached_at"),
        created_at=now(),
        updated_at=None,
        older=columns.get("older"),
    )
    attachments.insert(tx, attachment)
    return attachment


def complete(tx: Transaction, who: Scope, attachment_id: str) -> None:
    """The initiator has plugged the volume in. Raises ``NotFound`` or ``InvalidState``."""
    complete_known(tx, attachments.get(tx, who, attachment_id))


def complete_known(tx: Transaction, attachment: Attachment) -> None:
    """The initiator of this attachment has plugged the volume in. Raises ``InvalidState``."""
    if attachment.status != A.ATTACHED:
        attachments.move(tx, attachment.id, {A.ATTACHING}, A.ATTACHED, attached_at=now(), operation_id=None)
        attachments.let_volume_follow(tx, attachment.volume_id)

"""Release an attachment because a user of the Block Storage API asks for it.

What a server uses is let go by the server, through the Compute API, or a guest would go on writing to a disk
that may be somebody else's by then (OSSA-2023-003). Another service may: it says so with its service token.
"""

from pumice.attachments import disconnect
from pumice.model.errors import Conflict
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus
from pumice.model.volume import Attachment
from pumice.store import attachments
from pumice.store.database import Transaction


def release(tx: Transaction, who: Scope, attachment: Attachment, *, keep: bool = False) -> str | None:
    """Begin to release an attachment; the operation's id, or None when it is gone already.

    With ``keep`` only its initiator is shut out. Raises ``Conflict``.
    """
    refuse_if_server_uses(tx, who, attachment)
    if attachment.status == AttachStatus.DETACHING and attachment.operation_id and not keep:
        return attachment.operation_id
    return disconnect.accept(tx, who, attachment, keep=keep)


def refuse_if_server_uses(tx: Transaction, who: Scope, attachment: Attachment) -> None:
    """Raises ``Conflict`` when a server uses the attachment and no service asks."""
    if who.is_service:
        return
    if server_id := attachments.used_by_server(tx, attachment.id):
        raise Conflict(f"Detach volume from instance {server_id} using the Compute API")

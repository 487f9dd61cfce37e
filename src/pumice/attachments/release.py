"""Release an attachment because a user of the Block Storage API asks for it.

What a server uses is let go by the server, through the Compute API, or a guest would go on writing to a disk
that may be somebody else's by then (OSSA-2023-003). Another service may: it says so with its service token. A
server is any that an attachment names, ours or another Nova's: of those nobody here knows whether they live. As
in Cinder (``attachment_deletion_allowed``), its owner may let go what no server was connected to, or was by the
owner's own hands: by the older actions.
"""

from collections.abc import Sequence

from pumice.attachments import disconnect
from pumice.model.errors import Conflict, InvalidState
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
    if not who.is_service and (server_id := _user(tx, attachment)):
        raise _used_by(server_id)


def is_used(tx: Transaction, attachment: Attachment) -> bool:
    """Whether a server uses it, so that only a service lets go of it."""
    return _user(tx, attachment) is not None


def _user(tx: Transaction, attachment: Attachment) -> str | None:
    server_id = attachments.used_by_server(tx, attachment.id)
    if server_id is None and attachment.connector is not None and not attachment.older:
        return attachment.server_id
    return server_id


def the_only_one(who: Scope, found: Sequence[Attachment]) -> Attachment | None:
    """The one of a volume's attachments that is meant where none is named; None when there is none.

    Raises ``Conflict`` when it may be a server's and no service asks, else ``InvalidState``.
    """
    if len(found) <= 1:
        return found[0] if found else None
    refuse_if_any_is_a_servers(who, found)
    raise InvalidState(
        "Invalid volume: Detach volume failed: More than one attachment, but no attachment_id provided."
    )


def refuse_if_any_is_a_servers(who: Scope, found: Sequence[Attachment]) -> None:
    """Raises ``Conflict`` when several are meant, one of them may be a server's and no service asks."""
    server_id = next((one.server_id for one in found if one.server_id), None)
    if len(found) > 1 and server_id and not who.is_service:
        raise _used_by(server_id)


def refuse_unknown(who: Scope) -> None:
    """Raises ``Conflict`` for an attachment that is not known: it may be a server's, unless a service asks."""
    if not who.is_service:
        raise _used_by("")


def _used_by(server_id: str) -> Conflict:
    """The refusal that Cinder has for a volume of a server: ``ConflictNovaUsingAttachment``."""
    return Conflict(f"Detach volume from instance {server_id} using the Compute API")

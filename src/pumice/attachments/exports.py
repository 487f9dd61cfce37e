"""What the steps of attaching and detaching do at the volume's host: let an initiator in, shut it out.

An attachment has a CHAP account of its own from the moment it has a connector, so that letting in can be done
again after a crash with the same words. The secret is read from the row when it is needed; no operation and no
log line ever holds it.
"""

import secrets
import string

from pumice.backends.targets.contract import Grant, Portal
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.volume import Attachment, host_of, pool_of
from pumice.operations.hands import Hands
from pumice.store import attachments

_LETTERS = string.ascii_letters + string.digits
PASSWORD_LENGTH = 16


def new_account(connector: dict[str, object]) -> dict[str, object]:
    """The columns of an attachment that gets a connector. Raises ``Invalid`` if it names no initiator."""
    if not isinstance(connector.get("initiator"), str) or not connector["initiator"]:
        raise Invalid("Invalid input received: the connector must name its 'initiator' (an IQN) for iSCSI.")
    return {
        "connector": connector,
        "host": connector.get("host"),
        "chap_username": "".join(secrets.choice(_LETTERS) for _ in range(20)),
        "chap_password": "".join(secrets.choice(_LETTERS) for _ in range(PASSWORD_LENGTH)),
    }


def grant_of(attachment: Attachment) -> Grant:
    """The attachment's right to log in."""
    assert attachment.connector is not None
    return Grant(
        AttachmentId(attachment.id),
        str(attachment.connector["initiator"]),
        attachment.chap_username or "",
        attachment.chap_password or "",
        read_only=attachment.mode == "ro",
    )


async def let_in(hands: Hands, attachment_id: str, pool: str) -> Portal:
    """Export the attachment's volume, if it is not yet, and let the attachment's initiator in."""
    attachment = await hands.db.read(attachments.find, attachment_id)
    if attachment is None:
        raise NotFound("Volume attachment", attachment_id)
    host, volume = host_of(pool), VolumeId(attachment.volume_id)
    device = await hands.backends[host].device(volume, pool_of(pool))
    return await hands.targets[host].grant(volume, device, grant_of(attachment))


async def shut_out(hands: Hands, attachment_id: str, pool: str) -> None:
    """Shut the attachment's initiator out; the last one takes the export with it."""
    attachment = await hands.db.read(attachments.find, attachment_id)
    if attachment is not None and attachment.connector is not None:
        target = hands.targets[host_of(pool)]
        await target.revoke(VolumeId(attachment.volume_id), grant_of(attachment))

"""What the steps of attaching and detaching do at the volume's host: let an initiator in, shut it out.

An attachment has a CHAP account of its own from the moment it has a connector, so that letting in can be done
again after a crash with the same words. The password is read from the row when it is needed; no operation and
no log line ever holds it. Shutting out needs no row: it must also work when the row is gone.
"""

import secrets
import string
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pumice.backends.targets.contract import Grant
from pumice.model.connector import Connector, initiator_of
from pumice.model.errors import Invalid, NotFound
from pumice.model.export import Export
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.volume import Attachment, host_of, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation
from pumice.store import attachments, pools, volumes
from pumice.store.columns import is_unread
from pumice.store.database import Transaction

_LETTERS = string.ascii_letters + string.digits
PASSWORD_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Account:
    """A host that an attachment is for, and the CHAP account by which it is let in."""

    connector: Connector
    username: str
    password: str = field(repr=False)

    def columns(self) -> dict[str, Any]:
        """The columns of the attachment."""
        return {
            "connector": self.connector,
            "host": self.connector.host or None,
            "chap_username": self.username,
            "chap_password": self.password,
        }


def new_account(connector: Connector) -> Account:
    """A new account for an attachment that gets a connector. Raises ``Invalid`` if that has no name."""
    if not (connector.nqn or connector.host):
        initiator_of(connector)
    return Account(connector, "".join(secrets.choice(_LETTERS) for _ in range(20)), new_password())


def new_password() -> str:
    """A new CHAP password."""
    return "".join(secrets.choice(_LETTERS) for _ in range(PASSWORD_LENGTH))


def must_get_in(tx: Transaction, pool_name: str, connector: Connector) -> None:
    """Raises ``Invalid`` when the connector's host does not reach the pool's volumes.

    It has no name for how they are reached, or they are on the disk of another host, which alone opens them.
    """
    pool = pools.find(tx, pool_name)
    if pool is None:
        return
    initiator_of(connector, pool.capabilities.get("storage_protocol", ""))
    if pool.reached_from not in (None, connector.host):
        raise Invalid(
            f"Invalid input received: the volume is on a disk of the host '{pool.reached_from}', which alone "
            f"can use it; '{connector.host}' cannot."
        )


class Exported(Protocol):
    """The parameters of an operation that exports a volume: ``pool`` is ``host@backend#pool``."""

    @property
    def attachment_id(self) -> AttachmentId: ...
    @property
    def volume_id(self) -> VolumeId: ...
    @property
    def pool(self) -> str: ...
    @property
    def initiator(self) -> str: ...
    @property
    def username(self) -> str: ...


async def let_in(drivers: Drivers, asked: Exported, *, drawn: bool = False) -> Export:
    """Export the volume, if it is not yet, and let the attachment's initiator in. Where it is reached.

    With ``drawn`` by the password that is to be the attachment's next one.
    """
    attachment, encrypted = await drivers.db.read(_read, asked)
    volume, target = asked.volume_id, drivers.target_of(asked.pool)
    device = await drivers.backend_of(asked.pool).device(volume, pool_of(asked.pool))
    grant = Grant(
        asked.attachment_id,
        initiator_of(_connector(attachment, asked), target.protocol),
        asked.username,
        (attachment.next_chap_password if drawn else attachment.chap_password) or "",
        read_only=attachment.mode == "ro",
        name=attachment.portal.name if attachment.portal else "",
    )
    drivers.let_in.setdefault(host_of(asked.pool), set()).add(volume)
    return replace(await target.grant(volume, device, grant), encrypted=encrypted)


def _connector(attachment: Attachment, asked: Exported) -> Connector:
    """The host that the export is for: as the attachment's row says, or else as the operation was told."""
    known = attachment.connector
    return Connector(initiator=asked.initiator) if known is None or is_unread(known) else known


def _read(tx: Transaction, asked: Exported) -> tuple[Attachment, bool]:
    """The attachment, and whether its volume is encrypted."""
    if (found := attachments.with_key(tx, asked.attachment_id, asked.volume_id)) is None:
        raise NotFound("Volume attachment", asked.attachment_id)
    attachment, key = found
    return attachment, key is not None


def lock_volume(tx: Transaction, op: Operation[Any]) -> None:
    """Lock the volume that is exported, and with it who has it."""
    volumes.lock(tx, op.params.volume_id)


async def export(op: Operation[Any], drivers: Drivers) -> None:
    """A step: let the initiator in, and note where."""
    op.notes["portal"] = (await let_in(drivers, op.params)).to_row()


async def remove_export(op: Operation[Any], drivers: Drivers) -> None:
    """A step, or the undo of ``export``: shut the initiator out."""
    await shut_out(drivers, op.params)


async def shut_out(drivers: Drivers, asked: Exported) -> None:
    """Shut the attachment's initiator out; the last one takes the export with it."""
    grant = Grant(asked.attachment_id, asked.initiator, asked.username, "")
    await drivers.target_of(asked.pool).revoke(asked.volume_id, grant)

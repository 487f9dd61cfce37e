"""Give an attachment that stands another CHAP password.

1. ``accept``: of an attachment that is connected by what has passwords
2. ``wait_for_others``: until what else is under way on the attachment has ended
3. ``draw``: a password, in the row beside the one that holds
4. ``put_in_force``: the volume's host asks for the new one; sessions go on, as it is asked for at log-in only
5. ``publish``: it is the attachment's password; a start, a reboot and a read of the attachment give it

If it fails, the password that held is in force again.
"""

from dataclasses import dataclass

from pumice.attachments import exports
from pumice.model.errors import InvalidState, NotFound
from pumice.model.export import IscsiExport
from pumice.model.ids import AttachmentId, VolumeId
from pumice.model.scope import INTERNAL
from pumice.model.states import GETS_IN
from pumice.model.tunables import Tunables
from pumice.model.volume import Attachment
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, own
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend
from pumice.store import attachments, volumes
from pumice.store.database import Transaction


@dataclass(frozen=True, slots=True)
class RotateParams:
    """The parameters of the operation."""

    attachment_id: AttachmentId
    volume_id: VolumeId
    pool: str
    initiator: str
    username: str


def accept(tx: Transaction, attachment_id: str) -> str:
    """Begin; the operation's id. Raises ``NotFound``, or ``InvalidState`` for what no password lets in."""
    attachment = attachments.find(tx, attachment_id)
    volume = volumes.find(tx, attachment.volume_id) if attachment else None
    if attachment is None or volume is None:
        raise NotFound("Volume attachment", attachment_id)
    if not _has_password(attachment) or volume.pool is None:
        raise InvalidState(f"Invalid attachment: {attachment_id} has no password.")
    params = RotateParams(
        attachment_id=attachment.id,
        volume_id=volume.id,
        pool=volume.pool,
        initiator=attachment.connector.initiator if attachment.connector else "",
        username=attachment.chap_username or "",
    )
    return enqueue(tx, ROTATE, params, subject=attachment.id, who=INTERNAL).id


def _has_password(attachment: Attachment | None) -> bool:
    return (
        attachment is not None
        and attachment.status in GETS_IN
        and attachment.chap_password is not None
        and isinstance(attachment.portal, IscsiExport)
    )


def draw(tx: Transaction, op: Operation[RotateParams], tunables: Tunables) -> None:
    """Note a new password, unless one was drawn."""
    attachment = attachments.find(tx, op.params.attachment_id)
    if attachment is None or not _has_password(attachment):
        raise InvalidState("Invalid attachment: it was disconnected meanwhile.")
    if attachment.next_chap_password is None:
        attachments.change(tx, attachment.id, next_chap_password=exports.new_password())


def forget(tx: Transaction, op: Operation[RotateParams], tunables: Tunables) -> None:
    """Nobody learns the password that was drawn."""
    attachments.change(tx, op.params.attachment_id, next_chap_password=None)


async def put_in_force(op: Operation[RotateParams], drivers: Drivers) -> None:
    """Have the volume's host ask for the password that was drawn."""
    await exports.let_in(drivers, op.params, drawn=True)


async def put_back(op: Operation[RotateParams], drivers: Drivers) -> None:
    """Have it ask for the one that held."""
    if _has_password(await drivers.db.read(attachments.find, op.params.attachment_id)):
        await exports.let_in(drivers, op.params)


def publish(tx: Transaction, op: Operation[RotateParams], tunables: Tunables) -> None:
    """The new password is the attachment's."""
    attachment = attachments.find(tx, op.params.attachment_id)
    if attachment is not None and attachment.next_chap_password is not None:
        drawn = attachment.next_chap_password
        attachments.change(tx, attachment.id, chap_password=drawn, next_chap_password=None)


def explain(tx: Transaction, op: Operation[RotateParams], error: str) -> None:
    """The command tells why; what held holds."""


ROTATE = Verb(
    kind="attachment.rotate",
    params=RotateParams,
    holds=lambda op: (own(Thing.ATTACHMENT, op.params.attachment_id),),
    steps=(
        Wait("others", at=on_backend, whatever=True),
        Step(draw, undo=forget, at=on_backend),
        Step(put_in_force, undo=put_back, at=on_backend, timeout=30),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    spares_bytes=True,
    deadline=120,
)

"""Delete a volume whatever state it is in, because an administrator says so.

Only what holds the volume for good reason is respected: an operation, which ends by itself in bounded time, and
attachments, whose hosts would write to bytes that are gone.
"""

from pumice.model.errors import InvalidState
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.store import attachments, volumes
from pumice.store.database import Transaction
from pumice.volumes.delete import DELETABLE


def prepare(tx: Transaction, who: Scope, volume_id: str) -> None:
    """Give the volume a state from which it can be deleted. Raises ``NotFound`` or ``InvalidState``."""
    volume = volumes.get(tx, who, volume_id)
    if volume.status in DELETABLE:
        return
    if attachments.of_volume(tx, volume.id):
        raise InvalidState(f"Invalid volume: Volume {volume.id} is attached: detach it first.")
    if not volumes.put(tx, volume.id, VolumeStatus.ERROR):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} is {volume.status}: an operation holds it, and ends by itself."
        )

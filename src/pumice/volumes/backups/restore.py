"""Restore a backup over a volume.

1. ``accept``: the backup in ``restoring``, the volume in ``restoring-backup``
2. ``write_bytes``: the volume's host writes the backup, and those that it adds to, over the volume's bytes
3. ``publish``: both are free again, and the volume has the metadata that it had

From 2 on there is no way back: if it fails the volume is in ``error_restoring``, and a message says why. To
restore it again, an administrator says that it is available.
"""

from dataclasses import dataclass

from pumice.model.errors import InvalidState
from pumice.model.ids import BackupId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import BackupStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change, read
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import backups, messages, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes.backups.records import SECONDS, give_back_what_it_was, restore_bytes

B, V = BackupStatus, VolumeStatus


@dataclass(frozen=True, slots=True)
class RestoreParams:
    """The parameters of the operation."""

    backup_id: BackupId
    volume_id: VolumeId
    pool: str


def accept(tx: Transaction, who: Scope, backup_id: str, volume_id: str) -> Volume:
    """Answer the request: the volume. Raises ``NotFound`` or ``InvalidState``."""
    backup = backups.get(tx, who, backup_id)
    if backup.status != B.AVAILABLE:
        raise InvalidState("Invalid backup: Backup status must be available.")
    backups.chain(tx, backup.id)
    volume = volumes.get(tx, who, volume_id)
    if volume.status != V.AVAILABLE:
        raise InvalidState("Invalid volume: Volume to be restored to must be available.")
    if backup.size > volume.size:
        raise InvalidState(
            f"Invalid volume: volume size {volume.size} is too small to restore backup of size {backup.size}."
        )
    if bool(backup.encryption_key_id) != bool(volume.encryption_key_id):
        raise InvalidState(
            "Invalid volume: a backup is restored to a volume that is encrypted exactly if it is."
        )
    operation_id = new_id()
    must = "be available"
    backups.move(tx, backup.id, {B.AVAILABLE}, B.RESTORING, must=must, operation_id=operation_id)
    volumes.move(tx, volume.id, {V.AVAILABLE}, V.RESTORING_BACKUP, must=must, operation_id=operation_id)
    assert volume.pool is not None
    params = RestoreParams(backup.id, volume.id, volume.pool)
    enqueue(tx, RESTORE, params, subject=volume.id, who=who, id=operation_id)
    return volume


async def write_bytes(op: Operation[RestoreParams], drivers: Drivers) -> None:
    """Write the backup over the volume."""
    asked = op.params
    async with drivers.backend_of(asked.pool).opened(asked.volume_id, pool_of(asked.pool)) as device:
        await restore_bytes(drivers, asked.backup_id, device, is_new=False, progress=op.note_progress)


def publish(tx: Transaction, op: Operation[RestoreParams], tunables: Tunables) -> None:
    """The volume has the backup's bytes."""
    asked = op.params
    backups.reset(tx, asked.backup_id, B.AVAILABLE, op.id)
    if backup := backups.find(tx, asked.backup_id):
        give_back_what_it_was(tx, asked.volume_id, backup)
    volumes.reset(tx, asked.volume_id, V.AVAILABLE, op.id)


def explain(tx: Transaction, op: Operation[RestoreParams], error: str) -> None:
    """The volume's bytes are of neither, and its owner can read why."""
    backups.reset(tx, op.params.backup_id, B.AVAILABLE, op.id)
    volumes.reset(tx, op.params.volume_id, V.ERROR_RESTORING, op.id)
    if volume := volumes.find(tx, op.params.volume_id):
        messages.tell(tx, volume.project_id, Event.RESTORE_BACKUP, volume.id, error, op.request_id)


RESTORE = Verb(
    kind="backup.restore",
    params=RestoreParams,
    holds=lambda op: (change(Thing.VOLUME, op.params.volume_id), read(Thing.BACKUP, op.params.backup_id)),
    steps=(
        Step(write_bytes, at=on_backend, timeout=SECONDS, long=True),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=2 * SECONDS,
)

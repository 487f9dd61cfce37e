"""Create a volume from a backup: as any other, empty, and then filled.

1. ``accept``: the volume in ``creating``, the backup in ``restoring``
2. ``claim_space``, ``make_bytes``: as ``volumes/create.py``
3. ``fill``: the volume's host writes the backup, and those that it adds to
4. ``publish``: both are ``available``, and the volume has the metadata that the backup's had

If it fails the volume is in ``error``, as any that could not be made.
"""

from dataclasses import replace

from pumice.model.errors import Invalid, InvalidState
from pumice.model.scope import Scope
from pumice.model.states import BackupStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, make, read
from pumice.operations.operation import Operation, Step, on_backend, scheduler
from pumice.store import backups, types
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes import create
from pumice.volumes.backups.records import SECONDS, give_back_what_it_was, restore_bytes
from pumice.volumes.create import CreateParams, Origin, Wanted

B = BackupStatus


@serialized(lambda who, *_: f"quota of {who.project_id}")
def accept(tx: Transaction, who: Scope, backup_id: str, wanted: Wanted, tunables: Tunables) -> Volume:
    """Answer the request: the volume in ``creating``. Raises as ``create.accept`` does."""
    backup = backups.get(tx, who, backup_id)
    if wanted.image_id or wanted.snapshot_id or wanted.source_volid:
        raise Invalid("May specify only one of snapshot, imageRef, source volume or backup.")
    if backup.status != B.AVAILABLE:
        raise InvalidState("Invalid backup: Backup status must be available.")
    backups.chain(tx, backup.id)
    type_id = backup.source.get("type_id")
    origin = Origin(
        "backup",
        backup.id,
        least=backup.size,
        type_id=type_id if type_id and (backup.encryption_key_id or types.get(tx, type_id)) else None,
        bootable=bool(backup.source.get("bootable")),
        image_metadata=backup.source.get("image_metadata"),
        key_id=backup.encryption_key_id,
    )
    volume = create.accept(tx, who, wanted, tunables, origin=origin, verb=CREATE_FROM_BACKUP)
    must = "be available"
    backups.move(tx, backup.id, {B.AVAILABLE}, B.RESTORING, must=must, operation_id=volume.operation_id)
    return volume


async def fill(op: Operation[CreateParams], drivers: Drivers) -> None:
    """Write the backup into the new volume."""
    pool = op.notes["pool"]
    assert op.params.origin_id is not None
    async with drivers.backend_of(pool).opened(op.params.volume_id, pool_of(pool)) as device:
        await restore_bytes(drivers, op.params.origin_id, device, is_new=True, progress=op.note_progress)


def publish(tx: Transaction, op: Operation[CreateParams], tunables: Tunables) -> None:
    """Make volume and backup available."""
    create.publish(tx, op, tunables)
    if backup := backups.find(tx, op.params.origin_id or ""):
        give_back_what_it_was(tx, op.params.volume_id, backup)
    _let_go(tx, op)


def explain(tx: Transaction, op: Operation[CreateParams], error: str) -> None:
    """The volume is in ``error``, and its owner can read why."""
    create.explain(tx, op, error)
    _let_go(tx, op)


def _let_go(tx: Transaction, op: Operation[CreateParams]) -> None:
    backups.reset(tx, op.params.origin_id or "", B.AVAILABLE, op.id)


CREATE_FROM_BACKUP = replace(
    create.CREATE,
    kind="volume.create_from_backup",
    holds=lambda op: (
        make(Thing.VOLUME, op.params.volume_id),
        read(Thing.BACKUP, op.params.origin_id or ""),
        *create.of_its_group(op.params),
    ),
    steps=(
        Step(create.claim_space, undo=create.give_space_back, at=scheduler, chooses=True),
        Step(create.make_bytes, undo=create.delete_bytes, at=on_backend, timeout=3600, tries=3),
        Step(fill, at=on_backend, timeout=SECONDS, long=True),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=2 * SECONDS,
)

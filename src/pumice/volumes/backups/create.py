"""Create a backup: keep the bytes that a volume or snapshot has now, away from its backend.

1. ``accept``: quota, the row in ``creating``; the volume or snapshot in ``backing-up``
2. ``copy_bytes``: of a snapshot, or of a volume in use, a copy is made that nobody writes to
3. ``write_objects``: the volume's host reads what is there and keeps it; of an incremental one what has
   changed since the backup that it adds to. One that is cut short goes on where it was
4. ``drop_copy``
5. ``publish``: ``available``, and the volume or snapshot is free again

If it fails the backup is in ``error`` with a reason, and none of its objects is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pumice.backends.backups import layout
from pumice.model.backup import Backup
from pumice.model.errors import InvalidState, NotFound, NoValidBackend
from pumice.model.ids import BackupId, SnapshotId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import BackupStatus, SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot, Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold, Thing, make, read
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import attachments, backups, keys, messages, quotas, snapshots, tombstones, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized
from pumice.volumes.backups.records import NO_SERVICE, SECONDS, record_of, service_up, source_of

B, N, V = BackupStatus, SnapshotStatus, VolumeStatus


@dataclass(frozen=True, slots=True)
class Wanted:
    """The backup that the tenant asks for."""

    volume_id: str
    snapshot_id: str | None = None
    incremental: bool = False
    force: bool = False
    """A volume in use is welcome too."""
    name: str | None = None
    description: str | None = None
    container: str | None = None
    availability_zone: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class BackupParams:
    """The parameters of the operation."""

    backup_id: BackupId
    volume_id: VolumeId
    pool: str
    size: int
    snapshot_id: SnapshotId | None
    parent_id: BackupId | None
    copy_id: VolumeId | None
    """The copy that is read instead of a volume that changes."""


@serialized(quotas.turn)
def accept(tx: Transaction, who: Scope, wanted: Wanted, tunables: Tunables) -> Backup:
    """Answer the request: the backup in ``creating``. Raises ``NotFound``, ``InvalidState`` or ``OverQuota``.

    And ``NoValidBackend`` where no service makes backups.
    """
    volume = volumes.get(tx, who, wanted.volume_id)
    snapshot = _snapshot(tx, who, wanted)
    if snapshot is None:
        _require_readable(volume, wanted)
    service = service_up(tx, tunables, wanted.availability_zone)
    if service is None:
        raise NoValidBackend(NO_SERVICE)
    amounts = quotas.amounts_of_backups(1, volume.size)
    quotas.take(tx, who.project, quotas.limits(tx, who.project, tunables.quotas), amounts)
    parent = parent_of(tx, who, volume, snapshot) if wanted.incremental else None
    moment = snapshots.of_its_moment(tx, snapshot) if snapshot else volume
    backup_id, at, pool = BackupId(new_id()), now(), snapshot.pool if snapshot else volume.pool
    assert pool is not None
    backup = Backup(
        id=backup_id,
        project_id=who.project,
        user_id=who.user_id,
        volume_id=volume.id,
        snapshot_id=snapshot.id if snapshot else None,
        parent_id=parent.id if parent else None,
        name=wanted.name,
        description=wanted.description,
        size=volume.size,
        status=B.CREATING,
        fail_reason=None,
        availability_zone=service.zone,
        container=layout.container_for(backup_id, wanted.container, service.bucket),
        prefix=layout.prefix_of(volume.id, backup_id, at, zone=service.zone if service.bucket else None),
        object_count=0,
        data_timestamp=snapshot.created_at if snapshot else at,
        metadata=dict(wanted.metadata or {}),
        source=source_of(volume, moment),
        encryption_key_id=keys.copy(tx, moment.encryption_key_id) if moment.encryption_key_id else None,
        pool=pool,
        operation_id=new_id(),
        created_at=at,
        updated_at=None,
    )
    backups.insert(tx, backup)
    if snapshot is None:
        must = "be available or in-use"
        start = {V.AVAILABLE, V.IN_USE}
        volumes.move(tx, volume.id, start, V.BACKING_UP, must=must, operation_id=backup.operation_id)
    else:
        must, start_of = "be available", {N.AVAILABLE}
        snapshots.move(tx, snapshot.id, start_of, N.BACKING_UP, must=must, operation_id=backup.operation_id)
    changes = snapshot is not None or volume.status == V.IN_USE
    params = BackupParams(
        backup.id,
        volume.id,
        pool,
        volume.size,
        backup.snapshot_id,
        backup.parent_id,
        VolumeId(new_id()) if changes else None,
    )
    enqueue(tx, CREATE_BACKUP, params, subject=backup.id, who=who, id=backup.operation_id)
    return backup


def _snapshot(tx: Transaction, who: Scope, wanted: Wanted) -> Snapshot | None:
    if wanted.snapshot_id is None:
        return None
    snapshot = snapshots.get(tx, who, wanted.snapshot_id)
    if snapshot.volume_id != wanted.volume_id:
        raise InvalidState(
            f"Invalid volume: Volume {wanted.volume_id} does not match with snapshot.volume_id "
            f"{snapshot.volume_id}."
        )
    if snapshot.status != N.AVAILABLE:
        raise InvalidState(
            "Invalid snapshot: Snapshot to be backed up must be available, but the current status is "
            f'"{snapshot.status}".'
        )
    return snapshot


def _require_readable(volume: Volume, wanted: Wanted) -> None:
    if volume.status not in (V.AVAILABLE, V.IN_USE):
        raise InvalidState(
            "Invalid volume: Volume to be backed up must be available or in-use, but the current status is "
            f'"{volume.status}".'
        )
    if volume.status == V.IN_USE and not wanted.force:
        raise InvalidState("Invalid volume: Backing up an in-use volume must use the force flag.")


def parent_of(tx: Transaction, who: Scope, volume: Volume, snapshot: Snapshot | None = None) -> Backup:
    """The backup that an incremental one adds to: the latest before it. Raises ``InvalidState``."""
    before = [
        one
        for one in backups.of_volume(tx, who.project, volume.id)
        if one.status == B.AVAILABLE and (snapshot is None or one.data_timestamp < snapshot.created_at)
    ]
    if not before:
        raise InvalidState("Invalid backup: No backups available to do an incremental backup.")
    parent = max(before, key=lambda one: (one.data_timestamp, one.created_at))
    if parent.size != volume.size:
        raise InvalidState("Invalid backup: Volume size increased since the last backup. Do a full backup.")
    return parent


async def copy_bytes(op: Operation[BackupParams], drivers: Drivers) -> None:
    """Have the backend make a copy of what changes, or of a snapshot, which no host reads."""
    asked, pool = op.params, pool_of(op.params.pool)
    assert asked.copy_id is not None
    backend = drivers.backend_of(asked.pool)
    if asked.snapshot_id:
        await backend.create_from_snapshot(
            asked.copy_id, pool, asked.size, asked.snapshot_id, pool, lambda _: None
        )
    else:
        await backend.create_from_volume(asked.copy_id, pool, asked.size, asked.volume_id, pool, lambda _: None)


async def drop_copy(op: Operation[BackupParams], drivers: Drivers) -> None:
    """The copy is gone."""
    asked = op.params
    assert asked.copy_id is not None
    await drivers.backend_of(asked.pool).delete(asked.copy_id, pool_of(asked.pool))


async def write_objects(op: Operation[BackupParams], drivers: Drivers) -> None:
    """Write the bytes to where backups are kept."""
    asked = op.params

    def both(tx: Transaction) -> tuple[Backup | None, Backup | None]:
        return (
            backups.find(tx, asked.backup_id),
            backups.find(tx, asked.parent_id) if asked.parent_id else None,
        )

    backup, parent = await drivers.db.read(both)
    if backup is None or (asked.parent_id and parent is None):
        raise NotFound("Backup", asked.parent_id if backup else asked.backup_id)
    backend = drivers.backend_of(asked.pool)
    store = drivers.store_of_backups()
    async with backend.opened(asked.copy_id or asked.volume_id, pool_of(asked.pool)) as device:
        written = await store.write(
            record_of(backup), device, record_of(parent) if parent else None, op.note_progress
        )
    op.notes |= {"objects": written.objects, "kept": written.kept}


async def delete_objects(op: Operation[BackupParams], drivers: Drivers) -> None:
    """No object of the backup is left."""
    backup = await drivers.db.read(backups.find, op.params.backup_id)
    if backup is not None and drivers.backups is not None:
        await drivers.backups.delete(record_of(backup))


def publish(tx: Transaction, op: Operation[BackupParams], tunables: Tunables) -> None:
    """The backup is ready, and what it is of is free again."""
    backups.move(
        tx,
        op.params.backup_id,
        {B.CREATING},
        B.AVAILABLE,
        must="be creating",
        operation_id=None,
        object_count=op.notes["objects"],
    )
    _let_go(tx, op)


def explain(tx: Transaction, op: Operation[BackupParams], error: str) -> None:
    """The backup is in ``error`` and says why; so does a message. What it is of is free again."""
    backups.reset(tx, op.params.backup_id, B.ERROR, op.id, fail_reason=error)
    _let_go(tx, op)
    if backup := backups.find(tx, op.params.backup_id):
        messages.tell(tx, backup.project_id, Event.CREATE_BACKUP, backup.id, error, op.request_id)


def _let_go(tx: Transaction, op: Operation[BackupParams]) -> None:
    asked = op.params
    if asked.snapshot_id:
        snapshots.reset(tx, asked.snapshot_id, N.AVAILABLE, op.id)
    else:
        volumes.reset(tx, asked.volume_id, V.AVAILABLE, op.id)
        attachments.let_volume_follow(tx, asked.volume_id)
    if asked.copy_id:
        tombstones.bury_one(tx, tombstones.Kind.VOLUME, asked.copy_id, asked.pool)


def _reads(asked: BackupParams) -> tuple[Hold, ...]:
    """The source of the backup, and the backup that it adds to."""
    source = (
        read(Thing.SNAPSHOT, asked.snapshot_id) if asked.snapshot_id else read(Thing.VOLUME, asked.volume_id)
    )
    return (source, read(Thing.BACKUP, asked.parent_id)) if asked.parent_id else (source,)


def _is_copied(op: Operation[BackupParams]) -> bool:
    return op.params.copy_id is not None


CREATE_BACKUP = Verb(
    kind="backup.create",
    params=BackupParams,
    holds=lambda op: (make(Thing.BACKUP, op.params.backup_id), *_reads(op.params)),
    steps=(
        Step(copy_bytes, undo=drop_copy, at=on_backend, timeout=SECONDS, when=_is_copied, tries=3, long=True),
        Step(write_objects, undo=delete_objects, at=on_backend, timeout=SECONDS, long=True),
        Step(drop_copy, at=on_backend, timeout=1800, when=_is_copied, tries=1000, takes_away=True),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=2 * SECONDS,
)

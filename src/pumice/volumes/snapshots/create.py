"""Create a snapshot: keep the bytes a volume has now.

1. ``accept``: quota, the row in ``creating``. The volume keeps its state; while it has snapshots it cannot be
   deleted.
2. ``copy_bytes``: the volume's backend keeps them, in the same pool
3. ``publish``: ``available``
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pumice.catalog import volume_types
from pumice.model.errors import InvalidState
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot, Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, make, read
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import messages, quotas, snapshots, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized
from pumice.volumes.frozen import refuse_frozen

S = SnapshotStatus


@dataclass(frozen=True, slots=True)
class SnapshotParams:
    """The parameters of the operation."""

    snapshot_id: SnapshotId
    volume_id: VolumeId
    pool: str


@serialized(quotas.turn)
def accept(
    tx: Transaction,
    who: Scope,
    volume_id: str,
    *,
    name: str | None,
    description: str | None,
    metadata: Mapping[str, str],
    in_use: bool,
    tunables: Tunables,
    parent: Operation[Any] | None = None,
    group_snapshot_id: str | None = None,
) -> Snapshot:
    """Answer the request. ``in_use``: an attached volume is welcome too (its guest may be writing).

    Raises ``NotFound``, ``InvalidState`` or ``OverQuota``.
    """
    volume = volumes.get(tx, who, volume_id)
    refuse_frozen(tx, volume.pool)
    allowed = {VolumeStatus.AVAILABLE, VolumeStatus.IN_USE} if in_use else {VolumeStatus.AVAILABLE}
    if volume.status not in allowed:
        words = " or ".join(sorted(allowed))
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} status must be {words}, but it is {volume.status}."
        )
    snapshot = new_row(tx, who, volume, name, description, metadata, tunables, group_snapshot_id)
    params = SnapshotParams(snapshot.id, volume.id, snapshot.pool)
    enqueue(
        tx,
        CREATE_SNAPSHOT,
        params,
        subject=snapshot.id,
        who=who,
        parent=parent,
        id=snapshot.operation_id,
    )
    return snapshot


def new_row(
    tx: Transaction,
    who: Scope,
    volume: Volume,
    name: str | None,
    description: str | None,
    metadata: Mapping[str, str],
    tunables: Tunables,
    group_snapshot_id: str | None = None,
    operation_id: str | None = None,
) -> Snapshot:
    """A snapshot of the volume in ``creating``, its quota taken, and the id of its operation in it.

    Raises ``OverQuota``.
    """
    assert volume.pool is not None
    kind = volume_types.get(tx, volume.type_id) if volume.type_id else None
    amounts = quotas.amounts_of("snapshots", 1, volume.size, kind.name if kind else None)
    quotas.take(tx, volume.project_id, quotas.limits(tx, volume.project_id, tunables.quotas), amounts)
    snapshot = Snapshot(
        id=SnapshotId(new_id()),
        volume_id=volume.id,
        project_id=volume.project_id,
        user_id=who.user_id,
        name=name,
        description=description,
        size=volume.size,
        status=S.CREATING,
        pool=volume.pool,
        type_id=volume.type_id,
        metadata=dict(metadata),
        bootable=volume.bootable,
        image_metadata=volume.image_metadata,
        encryption_key_id=volume.encryption_key_id,
        operation_id=operation_id or new_id(),
        created_at=now(),
        updated_at=None,
        group_snapshot_id=group_snapshot_id,
    )
    snapshots.insert(tx, snapshot)
    return snapshot


async def copy_bytes(op: Operation[SnapshotParams], drivers: Drivers) -> None:
    """Have the backend keep the volume's bytes."""
    asked = op.params

    backend = drivers.backend_of(asked.pool)
    await backend.create_snapshot(asked.snapshot_id, asked.volume_id, pool_of(asked.pool), op.note_progress)


async def delete_copy(op: Operation[SnapshotParams], drivers: Drivers) -> None:
    """Delete whatever of the snapshot was made."""
    pool = op.params.pool
    await drivers.backend_of(pool).delete_snapshot(op.params.snapshot_id, pool_of(pool))


def publish(tx: Transaction, op: Operation[SnapshotParams], tunables: Tunables) -> None:
    """The snapshot is ready."""
    snapshots.move(tx, op.params.snapshot_id, {S.CREATING}, S.AVAILABLE, must="be creating", operation_id=None)


def explain(tx: Transaction, op: Operation[SnapshotParams], error: str) -> None:
    """The snapshot is in ``error``, and its owner can read why."""
    snapshots.reset(tx, op.params.snapshot_id, S.ERROR, op.id)
    if snapshot := snapshots.find(tx, op.params.snapshot_id):
        messages.tell(tx, snapshot.project_id, Event.CREATE_SNAPSHOT, snapshot.id, error, op.request_id)


CREATE_SNAPSHOT = Verb(
    kind="snapshot.create",
    params=SnapshotParams,
    holds=lambda op: (make(Thing.SNAPSHOT, op.params.snapshot_id), read(Thing.VOLUME, op.params.volume_id)),
    steps=(
        Step(copy_bytes, undo=delete_copy, at=on_backend, timeout=3600, tries=3, long=True),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=2 * 3600,
)

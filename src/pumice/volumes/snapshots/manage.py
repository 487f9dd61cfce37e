"""Manage a snapshot that is in a pool already: bytes that lie there become a snapshot of one of our volumes.

1. ``accept``: quota as for a snapshot of the volume's size, the row in ``creating``
2. ``adopt_bytes``: the backend makes them the snapshot's, and learns their size
3. ``count_bytes``: the size is written down, and the difference taken from the quota or given back
4. ``publish``: ``available``

If it fails the bytes have their old name again, and the snapshot is in ``error`` without any.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pumice.catalog import volume_types
from pumice.model.errors import Invalid, InvalidState
from pumice.model.ids import SnapshotId, VolumeId
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus, VolumeStatus
from pumice.model.stored import StoredObject
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, make, read
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import messages, quotas, snapshots, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.snapshots.create import new_row

S, V = SnapshotStatus, VolumeStatus


@dataclass(frozen=True, slots=True)
class Existing:
    """What is to be managed: the bytes ``source_name`` in the volume's pool."""

    volume_id: str
    source_name: str
    name: str | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ManageSnapshotParams:
    """The parameters of the operation. ``size``: of the volume when it was asked, in GiB."""

    snapshot_id: SnapshotId
    volume_id: VolumeId
    pool: str
    source_name: str
    size: int


@serialized(quotas.turn)
def accept(tx: Transaction, who: Scope, asked: Existing, tunables: Tunables) -> Snapshot:
    """Answer the request. Raises ``NotFound``, ``Invalid``, ``InvalidState`` or ``OverQuota``."""
    volume = volumes.get(tx, who, asked.volume_id)
    if volume.encryption_key_id:
        raise Invalid("Managing snapshots of encrypted volumes is not supported: their bytes need its key.")
    if volume.pool is None or volume.status not in {V.AVAILABLE, V.IN_USE}:
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} status must be available or in-use, but it is {volume.status}."
        )
    refuse_frozen(tx, volume.pool)
    snapshot = new_row(tx, who, volume, asked.name, asked.description, asked.metadata or {}, tunables)
    params = ManageSnapshotParams(snapshot.id, volume.id, volume.pool, asked.source_name, volume.size)
    enqueue(tx, MANAGE_SNAPSHOT, params, subject=snapshot.id, who=who, id=snapshot.operation_id)
    return snapshot


async def adopt_bytes(op: Operation[ManageSnapshotParams], drivers: Drivers) -> None:
    """Have the backend make the bytes the snapshot's."""
    backend = drivers.backend_of(op.params.pool)
    op.notes["size"] = await backend.adopt(_piece(op), op.params.source_name)


async def release_bytes(op: Operation[ManageSnapshotParams], drivers: Drivers) -> None:
    """Give the bytes their old name again."""
    await drivers.backend_of(op.params.pool).put_aside(_piece(op), op.params.source_name)


def _piece(op: Operation[ManageSnapshotParams]) -> StoredObject:
    return StoredObject("snapshot", op.params.snapshot_id, pool_of(op.params.pool))


def count_bytes(tx: Transaction, op: Operation[ManageSnapshotParams], tunables: Tunables) -> None:
    """Write down their size, which may be another than the volume's. Raises ``OverQuota``."""
    _resize(tx, op, op.params.size, op.notes["size"], tunables)


def discount_bytes(tx: Transaction, op: Operation[ManageSnapshotParams], tunables: Tunables) -> None:
    """The snapshot has no bytes any more, and counts as it did before."""
    _resize(tx, op, op.notes["size"], op.params.size, tunables)


def _resize(
    tx: Transaction, op: Operation[ManageSnapshotParams], before: int, after: int, tunables: Tunables
) -> None:
    snapshot = snapshots.find(tx, op.params.snapshot_id)
    if snapshot is None or snapshot.size != before or before == after:
        return
    kind = volume_types.get(tx, snapshot.type_id) if snapshot.type_id else None
    more = quotas.amounts_of("snapshots", 0, abs(after - before), kind.name if kind else None)
    amounts = {resource: amount for resource, amount in more.items() if amount}
    if after > before:
        limits = quotas.limits(tx, snapshot.project_id, tunables.quotas)
        quotas.take(tx, snapshot.project_id, limits, amounts)
    else:
        quotas.give_back(tx, snapshot.project_id, amounts)
    snapshots.change(tx, snapshot.id, size=after)


def publish(tx: Transaction, op: Operation[ManageSnapshotParams], tunables: Tunables) -> None:
    """The snapshot is ready."""
    snapshots.move(tx, op.params.snapshot_id, {S.CREATING}, S.AVAILABLE, must="be creating", operation_id=None)


def explain(tx: Transaction, op: Operation[ManageSnapshotParams], error: str) -> None:
    """The snapshot is in ``error``, and its owner can read why."""
    snapshots.reset(tx, op.params.snapshot_id, S.ERROR, op.id)
    if snapshot := snapshots.find(tx, op.params.snapshot_id):
        messages.tell(tx, snapshot.project_id, Event.CREATE_SNAPSHOT, snapshot.id, error, op.request_id)


MANAGE_SNAPSHOT = Verb(
    kind="snapshot.manage",
    params=ManageSnapshotParams,
    holds=lambda op: (make(Thing.SNAPSHOT, op.params.snapshot_id), read(Thing.VOLUME, op.params.volume_id)),
    steps=(
        Step(adopt_bytes, undo=release_bytes, at=on_backend),
        Step(count_bytes, undo=discount_bytes, at=on_backend),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=600,
)

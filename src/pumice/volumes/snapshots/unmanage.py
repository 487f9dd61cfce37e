"""Unmanage a snapshot: forget it, and leave its bytes in the pool.

1. ``accept``: ``unmanaging``
2. ``release_bytes``: the backend gives them the name ``unmanaged-<id>``, which no repair takes for ours
3. ``forget``: the row and its quota go together

If it fails the bytes have their own name again, and the snapshot is ``available``.
"""

from pumice.model.errors import InvalidState
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus
from pumice.model.stored import StoredObject
from pumice.model.tunables import Tunables
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, own
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import messages, snapshots
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes.grouped import refuse_in_group_snapshot
from pumice.volumes.snapshots.delete import DeleteSnapshotParams, forget_row

S = SnapshotStatus


def accept(tx: Transaction, who: Scope, snapshot_id: str) -> None:
    """Answer the request. Raises ``NotFound`` or ``InvalidState``."""
    snapshot = snapshots.get(tx, who, snapshot_id)
    if snapshot.encryption_key_id:
        raise InvalidState("Invalid snapshot: Unmanaging encrypted snapshots is not supported.")
    refuse_in_group_snapshot(snapshot)
    operation_id = new_id()
    snapshots.move(tx, snapshot.id, {S.AVAILABLE}, S.UNMANAGING, must="be available", operation_id=operation_id)
    params = DeleteSnapshotParams(snapshot.id, snapshot.pool)
    enqueue(tx, UNMANAGE_SNAPSHOT, params, subject=snapshot.id, who=who, id=operation_id)


async def release_bytes(op: Operation[DeleteSnapshotParams], drivers: Drivers) -> None:
    """Give up the bytes: they are nobody's from now on."""
    await drivers.backend_of(op.params.pool).put_aside(_piece(op), _name(op))


async def take_bytes_back(op: Operation[DeleteSnapshotParams], drivers: Drivers) -> None:
    """Give the bytes back to the snapshot."""
    await drivers.backend_of(op.params.pool).put_back(_piece(op), _name(op))


def _piece(op: Operation[DeleteSnapshotParams]) -> StoredObject:
    return StoredObject("snapshot", op.params.snapshot_id, pool_of(op.params.pool))


def _name(op: Operation[DeleteSnapshotParams]) -> str:
    return f"unmanaged-{op.params.snapshot_id}"


def forget(tx: Transaction, op: Operation[DeleteSnapshotParams], tunables: Tunables) -> None:
    """The row is gone with the quota it took. The bytes are nobody's, and not ours to remove."""
    forget_row(tx, op.params.snapshot_id, op, bytes_stay=True)


def explain(tx: Transaction, op: Operation[DeleteSnapshotParams], error: str) -> None:
    """The snapshot is what it was, and its owner can read why."""
    snapshots.reset(tx, op.params.snapshot_id, S.AVAILABLE, op.id)
    if snapshot := snapshots.find(tx, op.params.snapshot_id):
        messages.tell(tx, snapshot.project_id, Event.UNMANAGE_SNAPSHOT, snapshot.id, error, op.request_id)


UNMANAGE_SNAPSHOT = Verb(
    kind="snapshot.unmanage",
    params=DeleteSnapshotParams,
    holds=lambda op: (own(Thing.SNAPSHOT, op.params.snapshot_id),),
    steps=(
        Step(release_bytes, undo=take_bytes_back, at=on_backend, tries=1000, takes_away=True),
        Step(forget, at=on_backend),
    ),
    failed=explain,
    deadline=3600,
)

"""Delete a snapshot for good. Whether it is kept for a while is decided before (``recycle_bin/keep.py``).

1. ``accept``: ``deleting``
2. ``wait_for_others``: until the volumes that are just being made from it have been
3. ``delete_bytes``: the backend frees it
4. ``forget``: the row and the quota go together
"""

from dataclasses import dataclass
from typing import Any

from pumice.catalog import volume_types
from pumice.model.errors import NotFound
from pumice.model.ids import SnapshotId, new_id
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend
from pumice.store import messages, quotas, snapshots
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.told import KEPT, kept
from pumice.volumes.grouped import refuse_in_group_snapshot

S = SnapshotStatus
DELETABLE = frozenset({S.AVAILABLE, S.ERROR, S.ERROR_DELETING, S.RECYCLED})


@dataclass(frozen=True, slots=True)
class DeleteSnapshotParams:
    """The parameters of the operation."""

    snapshot_id: SnapshotId
    pool: str


def accept(
    tx: Transaction,
    who: Scope,
    snapshot_id: str,
    parent: Operation[Any] | None = None,
    *,
    with_group: bool = False,
) -> str:
    """Answer the request; the operation's id. Raises ``NotFound`` or ``InvalidState``.

    A part of a group snapshot is deleted ``with_group`` alone.
    """
    snapshot = snapshots.get(tx, who, snapshot_id)
    if not with_group:
        refuse_in_group_snapshot(snapshot)
    return begin(tx, who, snapshot, parent)


def begin(tx: Transaction, who: Scope, snapshot: Snapshot, parent: Operation[Any] | None = None) -> str:
    """Begin it for a snapshot that the caller may delete, be it in the recycle bin. Raises ``InvalidState``."""
    operation_id = new_id()
    snapshots.move(
        tx,
        snapshot.id,
        DELETABLE,
        S.DELETING,
        must="be available or error",
        operation_id=operation_id,
    )
    params = DeleteSnapshotParams(snapshot.id, snapshot.pool)
    enqueue(tx, DELETE_SNAPSHOT, params, subject=snapshot.id, who=who, parent=parent, id=operation_id)
    return operation_id


def _again(tx: Transaction, op: Operation[DeleteSnapshotParams], who: Scope) -> str:
    snapshot = snapshots.find(tx, op.params.snapshot_id)
    if snapshot is None or not (who.is_admin or snapshot.project_id == who.project_id):
        raise NotFound("Snapshot", op.params.snapshot_id)
    refuse_in_group_snapshot(snapshot)
    return begin(tx, who, snapshot)


async def delete_bytes(op: Operation[DeleteSnapshotParams], drivers: Drivers) -> None:
    """The bytes are gone."""
    pool = op.params.pool
    await drivers.backend_of(pool).delete_snapshot(op.params.snapshot_id, pool_of(pool))


def forget(tx: Transaction, op: Operation[DeleteSnapshotParams], tunables: Tunables) -> None:
    """Forget the row, with the quota it took."""
    forget_row(tx, op.params.snapshot_id, op)


def forget_row(
    tx: Transaction, snapshot_id: SnapshotId, op: Operation[Any], *, bytes_stay: bool = False
) -> None:
    """Forget a snapshot, with the quota it took; its bytes are ours to remove unless they stay somebody's."""
    if snapshot := snapshots.find(tx, snapshot_id):
        op.notes[KEPT] = kept(snapshot)
        snapshots.delete(tx, snapshot.id, bytes_stay=bytes_stay)
        if snapshot.recycled_at is None or snapshot.recycled_counts:
            kind = volume_types.get(tx, snapshot.type_id) if snapshot.type_id else None
            amounts = quotas.amounts_of("snapshots", 1, snapshot.size, kind.name if kind else None)
            quotas.give_back(tx, snapshot.project_id, amounts)


def explain(tx: Transaction, op: Operation[DeleteSnapshotParams], error: str) -> None:
    """The snapshot is in ``error_deleting``, and its owner can read why."""
    snapshots.reset(tx, op.params.snapshot_id, S.ERROR_DELETING, op.id)
    if snapshot := snapshots.find(tx, op.params.snapshot_id):
        messages.tell(tx, snapshot.project_id, Event.DELETE_SNAPSHOT, snapshot.id, error, op.request_id)


DELETE_SNAPSHOT = Verb(
    kind="snapshot.delete",
    params=DeleteSnapshotParams,
    holds=lambda op: (change(Thing.SNAPSHOT, op.params.snapshot_id),),
    steps=(
        Wait("others", at=on_backend, whatever=True),
        Step(delete_bytes, at=on_backend, tries=1000, timeout=1800, takes_away=True),
        Step(forget, at=on_backend),
    ),
    failed=explain,
    deadline=3600,
    again=lambda tx, op, who, _: _again(tx, op, who),
)

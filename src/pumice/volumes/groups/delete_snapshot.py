"""Delete a group snapshot, with the snapshots that it is made of.

1. ``accept``: it and every snapshot of it in ``deleting``, or none of them; where a recycle bin is in force
   they go there
2. ``wait_for_snapshots``: each other one is deleted by an operation of its own
3. ``forget``: the row is gone

If a snapshot cannot be deleted the group snapshot is in ``error``, and may be deleted again.
"""

from dataclasses import dataclass

from pumice.model.errors import InvalidState
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import GroupSnapshotStatus, SnapshotStatus
from pumice.model.tunables import Tunables
from pumice.operations.holds import Thing, change
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, scheduler
from pumice.store import group_snapshots, groups, operations
from pumice.store.database import Transaction
from pumice.store.told import KEPT, kept
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.recycle_bin import keep
from pumice.volumes.snapshots import delete as delete_snapshot

S = GroupSnapshotStatus
DELETABLE = frozenset({S.AVAILABLE, S.ERROR})
MUST = "be available or error, and no Group can be currently using it as source for its creation"


@dataclass(frozen=True, slots=True)
class DeleteGroupSnapshotParams:
    """The parameters of the operation."""

    group_snapshot_id: str


def accept(
    tx: Transaction, who: Scope, group_snapshot_id: str, tunables: Tunables, *, for_good: bool = False
) -> None:
    """Answer the request; none is kept if ``for_good``. Raises ``NotFound`` or ``InvalidState``."""
    group_snapshot = group_snapshots.get(tx, who, group_snapshot_id)
    group = groups.find(tx, group_snapshot.group_id)
    refuse_frozen(tx, group.host if group else None)
    operation_id = new_id()
    group_snapshots.move(tx, group_snapshot.id, DELETABLE, S.DELETING, must=MUST, operation_id=operation_id)
    params = DeleteGroupSnapshotParams(group_snapshot.id)
    parent = enqueue(tx, DELETE_GROUP_SNAPSHOT, params, subject=group_snapshot.id, who=who, id=operation_id)
    children = [
        delete_snapshot.accept(tx, who, snapshot.id, parent, with_group=True)
        if for_good
        else keep.delete_snapshot(tx, who, snapshot.id, tunables, parent, with_group=True)
        for snapshot in group_snapshots.members(tx, group_snapshot.id)
        if snapshot.status != SnapshotStatus.DELETING
    ]
    awaited = [child for child in children if child]
    operations.note(tx, parent.id, parent.notes | {"snapshots": awaited})


def forget(tx: Transaction, op: Operation[DeleteGroupSnapshotParams], tunables: Tunables) -> None:
    """Forget the row. Raises ``InvalidState`` when snapshots are left."""
    if left := group_snapshots.members(tx, op.params.group_snapshot_id):
        raise InvalidState(f"Snapshot {left[0].id} was not deleted.")
    if gone := group_snapshots.delete(tx, op.params.group_snapshot_id):
        op.notes[KEPT] = kept(gone)


def explain(tx: Transaction, op: Operation[DeleteGroupSnapshotParams], error: str) -> None:
    """The group snapshot is in ``error``; what failed is told of its snapshots."""
    group_snapshots.settle(tx, op.params.group_snapshot_id, S.ERROR, op.id)


DELETE_GROUP_SNAPSHOT = Verb(
    kind="group_snapshot.delete",
    params=DeleteGroupSnapshotParams,
    holds=lambda op: (change(Thing.GROUP_SNAPSHOT, op.params.group_snapshot_id),),
    steps=(Wait("snapshots", at=scheduler), Step(forget, at=scheduler)),
    failed=explain,
    deadline=2 * 3600,
    again=lambda tx, op, who, tunables: accept(tx, who, op.params.group_snapshot_id, tunables),
)

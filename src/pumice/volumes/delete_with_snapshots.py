"""Delete a volume and its snapshots (``cascade``).

1. ``begin``: the volume and every snapshot of it in ``deleting``, or none of them
2. ``wait_for_others``, ``wait_for_snapshots``: each is deleted by an operation of its own
3. as any other volume: ``remove_export``, ``delete_bytes``, ``forget``

If a snapshot cannot be deleted, the volume is in ``error_deleting``, and may be deleted again.
"""

from typing import Any

from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.volume import Volume
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend
from pumice.store import operations, snapshots, volumes
from pumice.store.database import Transaction
from pumice.volumes import delete
from pumice.volumes.delete import DeleteParams
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.grouped import refuse_in_group_snapshot
from pumice.volumes.snapshots import delete as delete_snapshot


def begin(tx: Transaction, who: Scope, volume: Volume, parent: Operation[Any] | None = None) -> str | None:
    """Begin it for a volume that the caller may delete; the operation's id, if there is much to do.

    Snapshots in the recycle bin go along: there is nothing to give back without the volume. Raises
    ``InvalidState``.
    """
    found = snapshots.of_volume(tx, volume.id, in_bin=True)
    if volume.pool is None or not found:
        return delete.begin(tx, who, volume, parent)
    refuse_frozen(tx, volume.pool)
    operation_id = new_id()
    volumes.move(
        tx,
        volume.id,
        delete.DELETABLE,
        VolumeStatus.DELETING,
        must=delete.MUST,
        unattached=True,
        operation_id=operation_id,
    )
    params = DeleteParams(volume.id, volume.pool)
    op = enqueue(tx, DELETE_WITH_SNAPSHOTS, params, subject=volume.id, who=who, id=operation_id, parent=parent)
    for snapshot in found:
        refuse_in_group_snapshot(snapshot)
    children = [delete_snapshot.begin(tx, who, snapshot, op) for snapshot in found]
    operations.note(tx, op.id, op.notes | {"snapshots": children})
    return operation_id


DELETE_WITH_SNAPSHOTS = Verb(
    kind="volume.delete_with_snapshots",
    params=DeleteParams,
    holds=delete.held,
    steps=(
        Wait("others", at=on_backend, whatever=True),
        Wait("snapshots", at=on_backend),
        Step(delete.remove_export, at=on_backend, tries=1000, takes_away=True),
        Step(delete.delete_bytes, at=on_backend, tries=1000, timeout=1800, takes_away=True),
        Step(delete.forget, at=on_backend),
    ),
    failed=delete.explain,
    deadline=3600,
    again=lambda tx, op, who, _: delete.again(tx, op, who, begin),
)

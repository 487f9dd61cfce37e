"""Revert a volume to its latest snapshot.

1. ``accept``: ``reverting``, and the snapshot ``restoring``; nobody uses the volume or copies it
2. ``restore_bytes``: the volume's backend gives it back what the snapshot kept
3. ``publish``: both ``available``

A backend replaces all of the bytes or none. If it fails both are ``available`` again, and a message says why.
"""

from dataclasses import dataclass

from pumice.model.errors import Conflict, Invalid, InvalidState
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import SnapshotStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change, read
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import messages, snapshots, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes import flatten

S, V = SnapshotStatus, VolumeStatus
MUST = "be 'available' to revert"


@dataclass(frozen=True, slots=True)
class RevertParams:
    """The parameters of the operation."""

    volume_id: VolumeId
    snapshot_id: SnapshotId
    pool: str


def accept(tx: Transaction, who: Scope, volume_id: str, snapshot_id: str) -> None:
    """Answer the request. Raises ``NotFound``, ``Invalid``, or ``Conflict`` when either is not free."""
    volume = volumes.get(tx, who, volume_id)
    if not snapshots.of_volume(tx, volume.id):
        raise Invalid(f"Volume {volume.id} doesn't have any snapshots.")
    latest = snapshots.latest(tx, volume.id)
    if latest is None or latest.id != snapshot_id:
        raise Invalid(f"Specified snapshot {snapshot_id} is None or not the latest one of volume {volume.id}.")
    if latest.size != volume.size:
        raise Invalid(
            f"Can't revert volume {volume.id} to its latest snapshot {latest.id}. The volume size must be "
            "equal to the snapshot size."
        )
    operation_id = new_id()
    try:
        volumes.move(tx, volume.id, {V.AVAILABLE}, V.REVERTING, must=MUST, operation_id=operation_id)
        snapshots.move(tx, latest.id, {S.AVAILABLE}, S.RESTORING, must=MUST, operation_id=operation_id)
        params = RevertParams(volume.id, latest.id, latest.pool)
        enqueue(tx, REVERT, params, subject=volume.id, who=who, id=operation_id)
    except InvalidState as error:
        raise Conflict(str(error)) from None


async def restore_bytes(op: Operation[RevertParams], drivers: Drivers) -> None:
    """Have the backend give the volume the snapshot's bytes."""
    asked = op.params

    backend = drivers.backend_of(asked.pool)
    volume, snapshot = asked.volume_id, asked.snapshot_id
    await backend.revert(volume, pool_of(asked.pool), snapshot, op.note_progress)
    await flatten.note_depth(op, backend, volume, pool_of(asked.pool))


def publish(tx: Transaction, op: Operation[RevertParams], tunables: Tunables) -> None:
    """Make volume and snapshot available again."""
    _let_go(tx, op)
    flatten.begin_if_deep(tx, op, op.params.volume_id, op.params.pool)


def explain(tx: Transaction, op: Operation[RevertParams], error: str) -> None:
    """Make volume and snapshot available again, and tell the owner why nothing was restored."""
    _let_go(tx, op)
    if volume := volumes.find(tx, op.params.volume_id):
        messages.tell(tx, volume.project_id, Event.REVERT_VOLUME, volume.id, error, op.request_id)


def _let_go(tx: Transaction, op: Operation[RevertParams]) -> None:
    volumes.reset(tx, op.params.volume_id, V.AVAILABLE, op.id)
    snapshots.reset(tx, op.params.snapshot_id, S.AVAILABLE, op.id)


REVERT = Verb(
    kind="volume.revert",
    params=RevertParams,
    holds=lambda op: (change(Thing.VOLUME, op.params.volume_id), read(Thing.SNAPSHOT, op.params.snapshot_id)),
    steps=(Step(restore_bytes, at=on_backend, timeout=3600), Step(publish, at=on_backend)),
    failed=explain,
    deadline=2 * 3600,
)

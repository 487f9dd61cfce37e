"""Unmanage a volume: forget it, and leave its bytes in the pool.

1. ``accept``: ``unmanaging``, if nothing uses the volume or was made of it
2. ``remove_export``: nobody reaches it any more
3. ``release_bytes``: the backend gives them the name ``unmanaged-<id>``, which no repair takes for ours
4. ``forget``: the row, the claimed space and the quota go together

If it fails the bytes have their own name again, and the volume is what it was.
"""

from pumice.model.errors import InvalidState
from pumice.model.ids import new_id
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.stored import StoredObject
from pumice.model.tunables import Tunables
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, own
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import messages, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.told import KEPT, kept
from pumice.volumes.delete import MUST, DeleteParams, forget_row, remove_export
from pumice.volumes.grouped import refuse_in_group

V = VolumeStatus


def accept(tx: Transaction, who: Scope, volume_id: str) -> None:
    """Answer the request. Raises ``NotFound`` or ``InvalidState``."""
    volume = volumes.get(tx, who, volume_id)
    if volume.encryption_key_id:
        raise InvalidState("Invalid volume: Unmanaging encrypted volumes is not supported.")
    refuse_in_group(volume, MUST)
    operation_id = new_id()
    volumes.move(
        tx,
        volume.id,
        {V.AVAILABLE, V.ERROR},
        V.UNMANAGING,
        must=MUST,
        unused=True,
        operation_id=operation_id,
    )
    if volume.pool is None:
        forget_row(tx, volume)
    else:
        params = DeleteParams(volume.id, volume.pool)
        notes = {"before": volume.status}
        enqueue(tx, UNMANAGE, params, subject=volume.id, who=who, id=operation_id, notes=notes)


async def release_bytes(op: Operation[DeleteParams], drivers: Drivers) -> None:
    """Let the backend's bytes go: they are nobody's."""
    await drivers.backend_of(op.params.pool).put_aside(_piece(op), _name(op))


async def take_bytes_back(op: Operation[DeleteParams], drivers: Drivers) -> None:
    """Make the bytes the volume's again."""
    await drivers.backend_of(op.params.pool).put_back(_piece(op), _name(op))


def _piece(op: Operation[DeleteParams]) -> StoredObject:
    return StoredObject("volume", op.params.volume_id, pool_of(op.params.pool))


def _name(op: Operation[DeleteParams]) -> str:
    return f"unmanaged-{op.params.volume_id}"


def forget(tx: Transaction, op: Operation[DeleteParams], tunables: Tunables) -> None:
    """The row is gone with what was claimed for it. The bytes are nobody's, and not ours to remove."""
    if volume := volumes.find(tx, op.params.volume_id):
        op.notes[KEPT] = kept(volume)
        forget_row(tx, volume, bytes_stay=True)


def explain(tx: Transaction, op: Operation[DeleteParams], error: str) -> None:
    """The volume is what it was, and its owner can read why."""
    volumes.reset(tx, op.params.volume_id, V(op.notes["before"]), op.id)
    if volume := volumes.find(tx, op.params.volume_id):
        messages.tell(tx, volume.project_id, Event.UNMANAGE_VOLUME, volume.id, error, op.request_id)


UNMANAGE = Verb(
    kind="volume.unmanage",
    params=DeleteParams,
    holds=lambda op: (own(Thing.VOLUME, op.params.volume_id),),
    steps=(
        Step(remove_export, at=on_backend, tries=1000, takes_away=True),
        Step(release_bytes, undo=take_bytes_back, at=on_backend, tries=1000, takes_away=True),
        Step(forget, at=on_backend),
    ),
    failed=explain,
    deadline=3600,
)

"""Delete a volume for good. Whether it is kept for a while is decided before (``recycle_bin/keep.py``).

1. ``accept``: ``deleting``, if nothing uses the volume and it has no snapshots
2. ``wait_for_others``: until what copies it, or cleans up after its create, has let go
3. ``remove_export``: nobody reaches it any more
4. ``delete_bytes``: the backend frees it
5. ``forget``: the row, the claimed space and the quota go together

A volume that never got a pool is forgotten at once. Nothing is undone: every step can be done again until it
succeeds. If the deadline passes first the volume is in ``error_deleting``, which may be deleted again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pumice.catalog import volume_types
from pumice.model.errors import NotFound
from pumice.model.ids import VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume, pool_of
from pumice.operations.at_once import AtOnce, record
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold, Thing, change
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, on_backend
from pumice.store import keys, messages, pools, quotas, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.told import KEPT, kept
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.grouped import refuse_in_group

V = VolumeStatus
DELETABLE = frozenset(
    {V.AVAILABLE, V.ERROR, V.ERROR_DELETING, V.ERROR_EXTENDING, V.ERROR_RESTORING, V.ERROR_MANAGING}
    | {V.RECYCLED}
)
MUST = (
    "be available or error or error_restoring or error_extending or error_managing and must not be migrating, "
    "attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots "
    "after volume transfer"
)


@dataclass(frozen=True, slots=True)
class DeleteParams:
    """The parameters of the operation."""

    volume_id: VolumeId
    pool: str


def accept(tx: Transaction, who: Scope, volume_id: str) -> str | None:
    """Answer the request; the operation's id, if there is much to do.

    Raises ``NotFound`` or ``InvalidState``.
    """
    volume = volumes.get(tx, who, volume_id)
    refuse_in_group(volume, MUST)
    return begin(tx, who, volume)


def begin(tx: Transaction, who: Scope, volume: Volume, parent: Operation[Any] | None = None) -> str | None:
    """Begin it for a volume that the caller may delete, be it in the recycle bin. Raises ``InvalidState``."""
    refuse_frozen(tx, volume.pool)
    operation_id = new_id()
    volumes.move(tx, volume.id, DELETABLE, V.DELETING, must=MUST, unused=True, operation_id=operation_id)
    if volume.pool is None:
        forget_row(tx, volume)
        record(tx, AtOnce.VOLUME_DELETE, volume, who, parent=parent, notes={KEPT: kept(volume)})
        return None
    params = DeleteParams(volume.id, volume.pool)
    enqueue(tx, DELETE, params, subject=volume.id, who=who, id=operation_id, parent=parent)
    return operation_id


def again(
    tx: Transaction, op: Operation[DeleteParams], who: Scope, begin: Callable[..., str | None]
) -> str | None:
    """Delete once more what could not be deleted, in the recycle bin or not. Raises ``NotFound``."""
    volume = volumes.find(tx, op.params.volume_id)
    if volume is None or not (who.is_admin or volume.project_id == who.project_id):
        raise NotFound("Volume", op.params.volume_id)
    refuse_in_group(volume, MUST)
    return begin(tx, who, volume)


def held(op: Operation[DeleteParams]) -> tuple[Hold]:
    """The volume, which will be gone."""
    return (change(Thing.VOLUME, op.params.volume_id),)


async def remove_export(op: Operation[DeleteParams], drivers: Drivers) -> None:
    """Remove the volume's target, whoever made it."""
    await drivers.target_of(op.params.pool).remove(op.params.volume_id)


async def delete_bytes(op: Operation[DeleteParams], drivers: Drivers) -> None:
    """Delete the volume's bytes."""
    pool = op.params.pool
    await drivers.backend_of(pool).delete(op.params.volume_id, pool_of(pool))


def forget(tx: Transaction, op: Operation[DeleteParams], tunables: Tunables) -> None:
    """Forget the row, with what was claimed for it; or, where there is none, for its bytes."""
    pools.give_back(tx, op.params.pool, op.id)
    if volume := volumes.find(tx, op.params.volume_id):
        op.notes[KEPT] = kept(volume)
        forget_row(tx, volume)


def forget_row(tx: Transaction, volume: Volume, *, bytes_stay: bool = False) -> None:
    """The row, its quota, its key and what was claimed for it go together."""
    volumes.delete(tx, volume.id, bytes_stay=bytes_stay)
    keys.forget(tx, volume.encryption_key_id)
    if volume.recycled_at is None or volume.recycled_counts:
        kind = volume_types.get(tx, volume.type_id) if volume.type_id else None
        amounts = quotas.amounts_of("volumes", 1, volume.size, kind.name if kind else None)
        quotas.give_back(tx, volume.project_id, amounts)
    if volume.pool:
        pools.give_back(tx, volume.pool, volume.id)


def explain(tx: Transaction, op: Operation[DeleteParams], error: str) -> None:
    """The volume is in ``error_deleting``, and its owner can read why."""
    pools.give_back(tx, op.params.pool, op.id)
    volumes.reset(tx, op.params.volume_id, V.ERROR_DELETING, op.id)
    if volume := volumes.find(tx, op.params.volume_id):
        messages.tell(tx, volume.project_id, Event.DELETE_VOLUME, volume.id, error, op.request_id)


DELETE = Verb(
    kind="volume.delete",
    params=DeleteParams,
    holds=held,
    steps=(
        Wait("others", at=on_backend, whatever=True),
        Step(remove_export, at=on_backend, tries=1000, takes_away=True),
        Step(delete_bytes, at=on_backend, tries=1000, timeout=1800, takes_away=True),
        Step(forget, at=on_backend),
    ),
    failed=explain,
    deadline=3600,
    again=lambda tx, op, who, _: again(tx, op, who, begin),
)

"""Encrypt a volume otherwise, or no more, or for the first time: its new type says so, and its pool fits that.

1. ``accept``: ``retyping``, and the new bytes' key; the new type's quota has been taken (``retype.py``)
2. ``claim_room``: meanwhile it takes the room of two, which its pool must have
3. ``make_bytes``: what is inside the volume's bytes, made beside them by another key, under the id ``made_id``
4. ``prove_bytes``: both are read back, and the same is inside; what has no room beside a header was all zeroes
5. four renames: they change places, each step with its way back (``exchange.py``)
6. ``publish``: the new type and key; the old key is forgotten, and the bytes that it opened are deleted by an
   operation of their own

If it fails the volume has its own bytes, key and type, and is ``available``; a message says why.
"""

from dataclasses import asdict, dataclass

from pumice.model.errors import InvalidState
from pumice.model.ids import VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume, VolumeType, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, own
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend, scheduler
from pumice.store import keys, messages, quotas, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes import encrypted
from pumice.volumes.encrypted import MOVE_SECONDS, Keys
from pumice.volumes.exchange import (
    RENAMES,
    claim_room,
    delete_new_bytes,
    give_room_back,
    leave_old_bytes,
)
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.moving import as_new_type, volume_of

V = VolumeStatus


@dataclass(frozen=True, slots=True)
class RecryptParams:
    """The parameters of the operation: ``size`` in GiB, those of keys in bits."""

    volume_id: VolumeId
    made_id: VolumeId
    pool: str
    size: int
    new_type: str
    new_type_name: str
    old_key_id: str | None
    old_key_size: int | None
    new_key_id: str | None
    new_key_size: int | None


def accept(tx: Transaction, who: Scope, volume: Volume, kind: VolumeType, opened_by: Keys) -> None:
    """Begin. The quota of the type has been taken. Raises ``InvalidState``."""
    assert volume.pool is not None
    refuse_frozen(tx, volume.pool)
    operation_id = new_id()
    volumes.move(tx, volume.id, {V.AVAILABLE}, V.RETYPING, must="be available", operation_id=operation_id)
    params = RecryptParams(
        volume.id, VolumeId(new_id()), volume.pool, volume.size, kind.id, kind.name, **asdict(opened_by)
    )
    enqueue(tx, RECRYPT, params, subject=volume.id, who=who, id=operation_id)


async def make_bytes(op: Operation[RecryptParams], drivers: Drivers) -> None:
    """Make the new bytes of the old ones."""
    asked, pool, backend = op.params, pool_of(op.params.pool), drivers.backend_of(op.params.pool)
    await backend.delete(asked.made_id, pool)
    await backend.create(asked.made_id, pool, asked.size)
    async with backend.opened(asked.volume_id, pool) as old, backend.opened(asked.made_id, pool) as new:
        await encrypted.remake(drivers.db, asked, old, new, op.note_progress)


async def prove_bytes(op: Operation[RecryptParams], drivers: Drivers) -> None:
    """Read both. Raises ``InvalidState`` where not the same is inside."""
    asked, pool, backend = op.params, pool_of(op.params.pool), drivers.backend_of(op.params.pool)
    async with backend.opened(asked.volume_id, pool) as old, backend.opened(asked.made_id, pool) as new:
        if not await encrypted.is_remade(drivers.db, asked, old, new, op.note_progress):
            raise InvalidState(encrypted.NOT_ALIKE)


def publish(tx: Transaction, op: Operation[RecryptParams], tunables: Tunables) -> None:
    """The volume has the new bytes, key and type; those bytes that it had are to be deleted."""
    asked = op.params
    changes = as_new_type(tx, volume_of(tx, op), asked.new_type, asked.pool)
    changes |= encrypted.opened_by_new_key(tx, asked)
    volumes.reset(tx, asked.volume_id, V.AVAILABLE, op.id, **changes)
    leave_old_bytes(tx, op)


def explain(tx: Transaction, op: Operation[RecryptParams], error: str) -> None:
    """The volume is what it was. Who wanted another type is told why it has not got it."""
    keys.forget(tx, op.params.new_key_id)
    volumes.reset(tx, op.params.volume_id, V.AVAILABLE, op.id)
    if volume := volumes.find(tx, op.params.volume_id):
        amounts = quotas.amounts_of_type("volumes", 1, volume.size, op.params.new_type_name)
        quotas.give_back(tx, volume.project_id, amounts)
        messages.tell(tx, volume.project_id, Event.CREATE_VOLUME, volume.id, error, op.request_id)


RECRYPT = Verb(
    kind="volume.recrypt",
    params=RecryptParams,
    holds=lambda op: (own(Thing.VOLUME, op.params.volume_id),),
    steps=(
        Step(claim_room, undo=give_room_back, at=scheduler),
        Step(make_bytes, undo=delete_new_bytes, at=on_backend, timeout=MOVE_SECONDS, tries=3, long=True),
        Step(prove_bytes, at=on_backend, timeout=MOVE_SECONDS, long=True),
        *RENAMES,
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=2 * MOVE_SECONDS,
)

"""Other bytes for a volume, made beside its own and under another id, ``made_id``; then both change places.

Meanwhile it takes the room of two in its pool. Each of the four renames has its way back, so until the last of
them the volume can have its own bytes again. Who begins this says how the others are made (``reimage.py``,
``recrypt.py``).
"""

from typing import Any, Protocol

from pumice.model.errors import NoValidBackend
from pumice.model.ids import VolumeId
from pumice.model.scope import INTERNAL
from pumice.model.stored import StoredObject
from pumice.model.tunables import Tunables
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, enqueue, on_backend
from pumice.scheduler.filters import capacity
from pumice.scheduler.request import Request
from pumice.store import pools
from pumice.store.database import Transaction
from pumice.volumes.delete import DELETE, DeleteParams


class Exchanged(Protocol):
    """What the operation was asked to do. ``made_id`` is what the new bytes are called while they are made."""

    @property
    def volume_id(self) -> VolumeId: ...
    @property
    def made_id(self) -> VolumeId: ...
    @property
    def pool(self) -> str: ...
    @property
    def size(self) -> int: ...


def claim_room(tx: Transaction, op: Operation[Any], tunables: Tunables) -> None:
    """Claim the room of another volume in the pool. Raises ``NoValidBackend`` when there is none."""
    asked = op.params
    pool = pools.find(tx, asked.pool)
    if pool is None:
        raise NoValidBackend("The volume's pool is not known at the moment: its backend has not reported it.")
    if not capacity(pool, Request(asked.size, pool.availability_zone)):
        raise NoValidBackend(f"The volume's pool has no room for {asked.size} GiB beside it.")
    pools.claim(tx, pool.name, op.id, asked.size, volumes=0)


def give_room_back(tx: Transaction, op: Operation[Any], tunables: Tunables) -> None:
    """The pool is free of it."""
    pools.give_back(tx, op.params.pool, op.id)


async def delete_new_bytes(op: Operation[Any], drivers: Drivers) -> None:
    """Delete whatever was made of them."""
    await drivers.backend_of(op.params.pool).delete(op.params.made_id, pool_of(op.params.pool))


async def name_new(op: Operation[Any], drivers: Drivers) -> None:
    """The new bytes leave their id to the old ones."""
    await drivers.backend_of(op.params.pool).put_aside(_made(op), _new(op))


async def name_new_back(op: Operation[Any], drivers: Drivers) -> None:
    """The new bytes have the id again under which they were made."""
    await drivers.backend_of(op.params.pool).put_back(_made(op), _new(op))


async def name_old(op: Operation[Any], drivers: Drivers) -> None:
    """The volume's own bytes leave its id to the new ones."""
    await drivers.backend_of(op.params.pool).put_aside(_volume(op), _old(op))


async def name_old_back(op: Operation[Any], drivers: Drivers) -> None:
    """The volume's own bytes are the volume's again."""
    await drivers.backend_of(op.params.pool).put_back(_volume(op), _old(op))


async def take_new(op: Operation[Any], drivers: Drivers) -> None:
    """The new bytes are the volume's."""
    await drivers.backend_of(op.params.pool).put_back(_volume(op), _new(op))


async def let_new_go(op: Operation[Any], drivers: Drivers) -> None:
    """The new bytes are nobody's again."""
    await drivers.backend_of(op.params.pool).put_aside(_volume(op), _new(op))


async def take_old(op: Operation[Any], drivers: Drivers) -> None:
    """The old bytes have the id under which the new ones were made."""
    await drivers.backend_of(op.params.pool).put_back(_made(op), _old(op))


async def let_old_go(op: Operation[Any], drivers: Drivers) -> None:
    """The old bytes are nobody's again."""
    await drivers.backend_of(op.params.pool).put_aside(_made(op), _old(op))


def _volume(op: Operation[Any]) -> StoredObject:
    return StoredObject("volume", op.params.volume_id, pool_of(op.params.pool))


def _made(op: Operation[Any]) -> StoredObject:
    return StoredObject("volume", op.params.made_id, pool_of(op.params.pool))


def _new(op: Operation[Any]) -> str:
    return f"{_name_of(op)}-new-{op.params.made_id}"


def _old(op: Operation[Any]) -> str:
    return f"{_name_of(op)}-old-{op.params.made_id}"


def _name_of(op: Operation[Any]) -> str:
    return op.kind.rpartition(".")[2]


def leave_old_bytes(tx: Transaction, op: Operation[Any]) -> None:
    """Begin to delete those that the volume had, which gives the room back."""
    asked = op.params
    delete = DeleteParams(asked.made_id, asked.pool)
    deleting = enqueue(tx, DELETE, delete, subject=asked.made_id, who=INTERNAL)
    pools.give_back(tx, asked.pool, op.id)
    pools.claim(tx, asked.pool, deleting.id, asked.size, volumes=0)


RENAMES = (
    Step(name_new, undo=name_new_back, at=on_backend),
    Step(name_old, undo=name_old_back, at=on_backend),
    Step(take_new, undo=let_new_go, at=on_backend),
    Step(take_old, undo=let_old_go, at=on_backend),
)

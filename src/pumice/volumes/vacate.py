"""Vacate a pool from which a volume was moved: free the bytes that it left there.

1. ``begin``, in the transaction that moved it: what was claimed for them is held by this operation
2. ``free_bytes``: who used it when it was moved is let in here no more, and the backend frees them
3. ``give_space_back``: the pool is free of them

The volume is where it went, and is used meanwhile; only to this pool it cannot come back before. If they cannot
be freed they are put aside, as what is nobody's, and the space is given back on paper.
"""

from dataclasses import dataclass, field

from pumice.backends import aside
from pumice.backends.targets.contract import Grant
from pumice.model.ids import AttachmentId, VolumeId, new_id
from pumice.model.scope import INTERNAL
from pumice.model.stored import StoredObject
from pumice.model.tunables import Tunables
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend, since
from pumice.store import pools, tombstones
from pumice.store.database import Transaction


@dataclass(frozen=True, slots=True)
class VacateParams:
    """What the operation was asked to do."""

    volume_id: VolumeId
    pool: str
    username: str = field(default="", metadata=since(2))
    """The account by which its user was let in; empty where it had none."""


def begin(tx: Transaction, volume_id: VolumeId, pool: str, size: int, username: str = "") -> None:
    """Have the bytes of a volume that is elsewhere by now freed; ``size`` in GiB.

    ``username`` is the account by which its user was let in to them.
    """
    operation_id = new_id()
    pools.give_back(tx, pool, volume_id)
    pools.claim(tx, pool, operation_id, size, volumes=0)
    tombstones.bury_one(tx, tombstones.Kind.VOLUME, volume_id, pool)
    params = VacateParams(volume_id, pool, username)
    enqueue(tx, VACATE, params, subject=volume_id, who=INTERNAL, id=operation_id)


async def free_bytes(op: Operation[VacateParams], drivers: Drivers) -> None:
    """Delete what the volume left. Nobody is in: whoever was has gone over."""
    pool = op.params.pool
    if op.params.username:
        grant = Grant(AttachmentId(""), "", op.params.username, "")
        await drivers.target_of(pool).revoke(op.params.volume_id, grant)
    await drivers.backend_of(pool).delete(op.params.volume_id, pool_of(pool))


async def put_aside(op: Operation[VacateParams], drivers: Drivers) -> None:
    """Leave it to the loop that gives up what nobody has asked for."""
    pool = op.params.pool
    piece = StoredObject("volume", op.params.volume_id, pool_of(pool))
    await drivers.backend_of(pool).put_aside(piece, aside.name_of(piece))


def give_space_back(tx: Transaction, op: Operation[VacateParams], tunables: Tunables) -> None:
    """The pool is free of it."""
    pools.give_back(tx, op.params.pool, op.id)


def explain(tx: Transaction, op: Operation[VacateParams], error: str) -> None:
    """Give the space back on paper: nobody asked for this, so nobody is told."""
    pools.give_back(tx, op.params.pool, op.id)


VACATE = Verb(
    kind="volume.vacate",
    params=VacateParams,
    holds=lambda _: (),
    steps=(
        Step(free_bytes, undo=put_aside, at=on_backend, tries=1000, timeout=1800, takes_away=True),
        Step(give_space_back, at=on_backend),
    ),
    failed=explain,
    deadline=24 * 3600,
    version=2,
)

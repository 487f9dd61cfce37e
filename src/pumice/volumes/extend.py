"""Extend a volume that nobody uses.

1. ``accept``: ``extending``, and the quota for the growth
2. ``claim_growth``: the volume's pool has room for it, and it is claimed
3. ``grow_bytes``: the backend grows the volume
4. ``publish``: the new size, ``available``

A volume is never shrunk, so growing has no undo: if a later step fails the backend holds more than the row
says, which harms nobody and is used by the next extend.
"""

from dataclasses import dataclass

from pumice.catalog import volume_types
from pumice.model.errors import Invalid, NoValidBackend
from pumice.model.ids import VolumeId, new_id
from pumice.model.rules import Rules
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.volume import host_of, pool_of
from pumice.operations.hands import Hands
from pumice.operations.operation import Operation, Step, Verb, enqueue, scheduler
from pumice.operations.places import volume_host
from pumice.scheduler.filters import capacity
from pumice.scheduler.request import Request
from pumice.store import messages, pools, quotas, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event

V = VolumeStatus


@dataclass(frozen=True, slots=True)
class ExtendParams:
    """What the operation was asked to do. Sizes in GiB."""

    volume_id: str
    pool: str
    size: int
    new_size: int


def accept(tx: Transaction, who: Scope, volume_id: str, new_size: int, rules: Rules) -> None:
    """Answer the request. Raises ``NotFound``, ``Invalid``, ``InvalidState`` or ``OverQuota``."""
    volume = volumes.get(tx, who, volume_id)
    if new_size <= volume.size:
        raise Invalid(
            "Invalid input received: New size for extend must be greater than current size. "
            f"(current: {volume.size}, extended: {new_size})."
        )
    limits = quotas.limits(tx, volume.project_id, rules.quotas)
    if 0 <= limits.get("per_volume_gigabytes", -1) < new_size:
        raise Invalid(f"Requested volume of {new_size} GiB is larger than a volume may be for this project.")
    operation_id = new_id()
    volumes.move(
        tx, volume.id, {V.AVAILABLE}, V.EXTENDING, must="be 'available' to extend", operation_id=operation_id
    )
    quotas.take(tx, volume.project_id, rules.quotas, _growth(tx, volume.type_id, new_size - volume.size))
    assert volume.pool is not None
    params = ExtendParams(volume.id, volume.pool, volume.size, new_size)
    enqueue(tx, EXTEND, params, subject=volume.id, who=who, id=operation_id)


def _growth(tx: Transaction, type_id: str | None, gigabytes: int) -> dict[str, int]:
    kind = volume_types.get(tx, type_id) if type_id else None
    amounts = quotas.amounts_of("volumes", 0, gigabytes, kind.name if kind else None)
    return {resource: amount for resource, amount in amounts.items() if amount}


def claim_growth(tx: Transaction, op: Operation[ExtendParams], rules: Rules) -> None:
    """Claim the growth in the volume's pool. Raises ``NoValidBackend`` when there is no room."""
    asked = op.params
    growth = asked.new_size - asked.size
    for pool in pools.every(tx):
        if pool.name == asked.pool:
            if not capacity(pool, Request(growth, pool.availability_zone)):
                raise NoValidBackend(f"The volume's pool has no room for {growth} GiB more.")
            pools.claim(tx, pool.name, growth, 0)
            op.notes["claimed"] = growth
            return
    raise NoValidBackend("The volume's pool is not known at the moment: its backend has not reported it.")


def give_growth_back(tx: Transaction, op: Operation[ExtendParams], rules: Rules) -> None:
    """The pool is free of the growth again."""
    if growth := op.notes.pop("claimed", 0):
        pools.claim(tx, op.params.pool, -growth, 0)


def on_backend(op: Operation[ExtendParams]) -> str:
    """The volume's host."""
    return volume_host(host_of(op.params.pool))


async def grow_bytes(op: Operation[ExtendParams], hands: Hands) -> None:
    """Have the backend grow the volume."""
    pool = op.params.pool
    await hands.backends[host_of(pool)].extend(VolumeId(op.params.volume_id), pool_of(pool), op.params.new_size)


def publish(tx: Transaction, op: Operation[ExtendParams], rules: Rules) -> None:
    """The volume has its new size."""
    volumes.move(
        tx,
        op.params.volume_id,
        {V.EXTENDING},
        V.AVAILABLE,
        must="be extending",
        operation_id=None,
        size=op.params.new_size,
    )


def explain(tx: Transaction, op: Operation[ExtendParams], error: str) -> None:
    """The volume is as it was, the quota is given back, and the owner can read why."""
    if volume := volumes.find(tx, op.params.volume_id):
        growth = op.params.new_size - op.params.size
        quotas.give_back(tx, volume.project_id, _growth(tx, volume.type_id, growth))
        volumes.reset(tx, volume.id, V.AVAILABLE, op.id)
        messages.tell(tx, volume.project_id, Event.EXTEND_VOLUME, volume.id, error, op.request_id)


EXTEND = Verb(
    kind="volume.extend",
    params=ExtendParams,
    steps=(
        Step(claim_growth, undo=give_growth_back, at=scheduler),
        Step(grow_bytes, at=on_backend, timeout=1800),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=3600,
)

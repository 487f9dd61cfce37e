"""Evict a base of an image: its pool is free of it, and what was cloned of it stays whole.

1. ``accept``: ``deleting``, unless a volume is just being cloned of it
2. ``delete_bytes``: the backend frees it
3. ``forget``: the row and the claimed space go together

Nothing is undone: every step can be done again until it succeeds. If the deadline passes first the base is in
``error_deleting``, and is evicted again after a while.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from pumice.model.errors import InvalidState, NotFound
from pumice.model.ids import VolumeId, new_id
from pumice.model.image_base import ImageBase
from pumice.model.scope import INTERNAL
from pumice.model.states import ImageBaseStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Pool, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, change, require
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.scheduler.choose import choose_among_the_roomiest, passing
from pumice.scheduler.request import Request
from pumice.store import image_bases, pools
from pumice.store.database import Transaction

S = ImageBaseStatus
EVICTABLE = frozenset({S.AVAILABLE, S.ERROR, S.ERROR_DELETING})


@dataclass(frozen=True, slots=True)
class EvictParams:
    """The parameters of the operation."""

    base_id: VolumeId
    pool: str


def accept(tx: Transaction, base_id: str, parent: Operation[Any] | None = None) -> str:
    """Evict a base; the operation's id. Raises ``NotFound``, or ``InvalidState`` while it is used or made."""
    base = image_bases.find(tx, base_id)
    if base is None:
        raise NotFound("Image base", base_id)
    require(tx, change(Thing.IMAGE_BASE, base.id))
    operation_id = new_id()
    image_bases.move(tx, base.id, EVICTABLE, S.DELETING, operation_id=operation_id)
    params = EvictParams(base.id, base.pool)
    enqueue(tx, EVICT, params, subject=base.id, who=INTERNAL, id=operation_id, parent=parent)
    return operation_id


def beyond(bases: Sequence[ImageBase], tunables: Tunables) -> Iterator[ImageBase]:
    """The bases that are too many in their pools; ``bases`` are every pool's, what was used last first."""
    for _, of_pool in groupby(bases, key=lambda base: base.pool):
        gigabytes = 0
        for number, base in enumerate(of_pool, 1):
            gigabytes += base.size
            if gigabytes > tunables.image_cache_gigabytes or number > tunables.image_cache_images:
                yield base


def for_room(
    tx: Transaction, parent: Operation[Any], pools_: Sequence[Pool], request: Request, tunables: Tunables
) -> tuple[Pool, list[str]] | None:
    """The pool that has room for a request once bases are gone from it, and the evictions begun there.

    What was used least recently goes first, and no more than is needed. None where that would not help.
    """
    idle: dict[str, list[ImageBase]] = {}
    for base in image_bases.every(tx):
        if base.status in EVICTABLE:
            idle.setdefault(base.pool, []).insert(0, base)
    emptied = [_without(pool, idle[pool.name]) for pool in pools_ if pool.name in idle]
    chosen = choose_among_the_roomiest(emptied, request, tunables)
    if chosen is None:
        return None
    pool = next(each for each in pools_ if each.name == chosen.name)
    gone: list[ImageBase] = []
    begun: list[str] = []
    for base in idle[pool.name]:
        with suppress(InvalidState):  # a volume is being cloned of it
            begun.append(accept(tx, base.id, parent))
            gone.append(base)
        if passing([_without(pool, gone)], request, tunables):
            return pool, begun
    return None


def _without(pool: Pool, gone: Collection[ImageBase]) -> Pool:
    """A pool as it would be without these."""
    size = sum(base.size for base in gone)
    free = min(pool.total_gb, pool.free_gb + size)
    return replace(pool, claimed_gb=pool.claimed_gb - size, free_gb=free)


async def delete_bytes(op: Operation[EvictParams], drivers: Drivers) -> None:
    """Delete the base's bytes. What was cloned of it keeps what it shares."""
    pool = op.params.pool
    await drivers.backend_of(pool).delete(op.params.base_id, pool_of(pool))


def forget(tx: Transaction, op: Operation[EvictParams], tunables: Tunables) -> None:
    """Forget the row, with what was claimed for it."""
    image_bases.delete(tx, op.params.base_id)
    pools.give_back(tx, op.params.pool, op.params.base_id)


def explain(tx: Transaction, op: Operation[EvictParams], error: str) -> None:
    """Say that it could not be deleted: nobody asked for it, so nobody is told."""
    image_bases.reset(tx, op.params.base_id, S.ERROR_DELETING, op.id)


EVICT = Verb(
    kind="image_base.evict",
    params=EvictParams,
    holds=lambda op: (change(Thing.IMAGE_BASE, op.params.base_id),),
    steps=(
        Step(delete_bytes, at=on_backend, tries=1000, timeout=1800, takes_away=True),
        Step(forget, at=on_backend),
    ),
    failed=explain,
    deadline=3600,
    spares_bytes=True,
)

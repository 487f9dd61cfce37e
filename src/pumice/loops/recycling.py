"""Empty the recycle bin of what was there for its time; where space is short, of the oldest before its time.

A pool is short when it has no room, by the scheduler's own filter, for a volume of ``low_percent`` of its size.
The owners of as much as has to go are told then, and what they were told of goes once they had time to have it
back, if the pool is short still. Each look begins so many deletes and no more: they take turns with what
tenants ask for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import structlog

from pumice.model.errors import PumiceError
from pumice.model.scope import INTERNAL
from pumice.model.states import VolumeStatus
from pumice.model.volume import Pool, host_of
from pumice.scheduler.filters import capacity
from pumice.scheduler.request import Request
from pumice.store import messages, pools, recycle_bin, services
from pumice.store.columns import now
from pumice.store.database import Database, Transaction
from pumice.store.messages import Event
from pumice.store.recycle_bin import Entry
from pumice.volumes.recycle_bin import purge

logger = structlog.get_logger(__name__)

SECONDS = 60.0
AT_ONCE = 20
"""How many deletes a look begins."""
PAGE, MOST_PAGES = 100, 10
"""How many of what is due are looked at, where some of it stays: its backend is frozen, something holds it."""
_STUCK = frozenset(recycle_bin.GOES) - {VolumeStatus.RECYCLED}


@dataclass(slots=True)
class Recycling:
    """Empties the bin."""

    db: Database
    low_percent: float = 10.0
    notice_seconds: float = 86_400.0
    """How long owners have to have something back that would go before its time."""

    async def check(self) -> int:
        """Look once. How many deletes were begun."""
        at = await self.db.write(recycle_bin.look)
        if at is None:
            return 0
        in_vain = set[str]()
        begun = await self._end_what_is_due(at, in_vain)
        for pool in await self.db.read(_pools) if self.low_percent else ():
            begun += await self._make_room(pool, at, AT_ONCE - begun, in_vain)
        return begun

    async def _end_what_is_due(self, at: float, in_vain: set[str]) -> int:
        """Begin to delete what is due; ``in_vain`` comes to hold what could not be deleted before."""
        begun = stayed = 0
        frozen: dict[str, bool] = {}
        for _ in range(MOST_PAGES):
            entries = await self.db.read(recycle_bin.due, at, PAGE, stayed)
            for entry in entries:
                if not entry.is_kept:
                    in_vain.add(entry.id)
                host = host_of(entry.pool)
                if host not in frozen:
                    frozen[host] = await self.db.read(services.is_frozen, host)
                if not frozen[host] and await self._begin(entry.id, lambda it: it.recycled_until <= at):
                    begun += 1
                else:
                    stayed += 1
                if begun == AT_ONCE:
                    return begun
            if len(entries) < PAGE:
                break
        return begun

    async def _make_room(self, pool: Pool, at: float, most: int, in_vain: set[str]) -> int:
        """Tell the owners of what has to go from a pool, and begin to delete what they were told of in time.

        What cannot be deleted makes no room, so others have to.
        """
        begun = freed = 0
        for entry in await self.db.read(recycle_bin.oldest, pool.name, PAGE):
            if not is_short(pool, self.low_percent, freed):
                break
            if entry.recycled_told is None and entry.is_kept:
                await self.db.write(tell, entry.id, at, self.notice_seconds)
            elif begun < most and await self._begin(entry.id, partial(_was_told, at - self.notice_seconds)):
                begun += 1
            if entry.kind == "volume" and entry.id not in in_vain and entry.status not in _STUCK:
                freed += entry.size
        return begun

    async def _begin(self, entry_id: str, goes: Callable[[Entry], bool]) -> bool:
        try:
            return await self.db.write(begin, entry_id, goes)
        except PumiceError as error:  # something keeps it for now: it is looked at again
            logger.info("recycle_bin.stays", id=entry_id, why=str(error))
            return False


def begin(tx: Transaction, entry_id: str, goes: Callable[[Entry], bool]) -> bool:
    """Begin to delete something if it ``goes``. False if it does not, or is not there any more."""
    entry = recycle_bin.find(tx, entry_id)
    if entry is None or entry.status not in recycle_bin.GOES or not goes(entry):
        return False
    purge.begin(tx, INTERNAL, entry)
    return True


def tell(tx: Transaction, entry_id: str, at: float, notice: float) -> None:
    """Tell a project that something of it may go before its time, at this time of the bin. Once is enough."""
    entry = recycle_bin.find(tx, entry_id)
    if entry is None or entry.recycled_told is not None:
        return
    recycle_bin.note_told(tx, entry, at)
    event = Event.DELETE_VOLUME if entry.kind == "volume" else Event.DELETE_SNAPSHOT
    then = now() + timedelta(seconds=notice)
    text = (
        f"Space is short where this deleted {entry.kind} is kept: from {then:%Y-%m-%d %H:%M} UTC on it may be "
        "deleted for good, before its time. Restore it to keep it."
    )
    messages.tell(tx, entry.project_id, event, entry.id, text, None)


def is_short(pool: Pool, low_percent: float, freed: int = 0) -> bool:
    """Whether a pool has no room for so much of its size, once as many GiB are free as are ``freed``."""
    if not 0 < pool.total_gb < math.inf:
        return False
    then = replace(pool, claimed_gb=pool.claimed_gb - freed, free_gb=pool.free_gb + freed)
    return not capacity(then, Request(math.ceil(pool.total_gb * low_percent / 100), pool.availability_zone))


def _was_told(latest: float, entry: Entry) -> bool:
    """Whether the owner was told, and no later than this."""
    return entry.recycled_told is not None and entry.recycled_told <= latest


def _pools(tx: Transaction) -> Sequence[Pool]:
    """What is known of the pools that something of the bin lies in."""
    return [pool for name in recycle_bin.in_pools(tx) if (pool := pools.find(tx, name))]

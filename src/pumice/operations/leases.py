"""What a worker holds, for as long as it may; and what workers hold that are gone.

A lease is renewed while its operation is in hand. It is lost when somebody else has taken the operation over:
then the step in hand is cut short, for another worker does it now. No step outside is begun on a lease that is
over by the clock. What happens nevertheless is fenced: whatever is written names the attempt (``course.py``).

A worker on PostgreSQL holds its own name as a lock, which is free as soon as its process is dead. Whoever
serves the same places frees what such a worker held without waiting for the leases to end.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from pumice.model.errors import LostLease, Trouble
from pumice.operations.operation import Operation
from pumice.store import operations as log
from pumice.store.database import Database

logger = structlog.get_logger(__name__)

GONE_SECONDS = 3.0
"""How long a worker's name is free until it counts as dead: one that lost its connection takes it again."""


@dataclass(slots=True)
class Lease:
    """One operation in hand. Its task may not have begun."""

    kind: str
    until: float
    """Seconds since the epoch."""
    op: Operation[Any] | None = None
    acting: asyncio.Timeout | None = None
    """The limit of the step outside that is under way."""


class Leases:
    """The leases of the worker ``owner``, of ``seconds`` each."""

    def __init__(self, db: Database, owner: str, seconds: float) -> None:
        self.db = db
        self.owner = owner
        self.seconds = seconds
        self.held: dict[str, Lease] = {}
        """By the operation's id."""
        self._missing: dict[str, float] = {}
        """Workers whose name is free, and since when on the monotonic clock."""

    def take(self, row: log.Row) -> None:
        """A row was claimed."""
        self.held[row["id"]] = Lease(row["kind"], row["lease_until"])

    def kinds(self) -> Counter[str]:
        """How many of each kind are in hand."""
        return Counter(lease.kind for lease in self.held.values())

    async def keep(self) -> None:
        """Renew what is in hand, again and again."""
        while True:
            await asyncio.sleep(self.seconds / 3)
            if held := dict(self.held):
                with contextlib.suppress(Trouble):
                    await self._renew(held, time.time() + self.seconds)

    async def _renew(self, held: Mapping[str, Lease], until: float) -> None:
        progress = {key: lease.op.progress if lease.op else None for key, lease in held.items()}
        ours = await self.db.write(log.renew, self.owner, until, progress)
        for key, lease in held.items():
            if key in ours:
                lease.until = until
            elif lease.acting is not None:
                logger.warning("operation.step_cut", operation=key)
                lease.acting.reschedule(0.0)

    @contextlib.asynccontextmanager
    async def acting(self, op: Operation[Any], seconds: float) -> AsyncIterator[None]:
        """While a step acts outside, for at most ``seconds``. Raises ``LostLease`` if it must not begin."""
        lease = self.held[op.id]
        if time.time() >= lease.until:
            raise LostLease(f"The lease on operation {op.id} was over before its next step began.")
        try:
            async with asyncio.timeout(seconds) as lease.acting:
                yield
        finally:
            lease.acting = None

    async def free_what_the_dead_hold(self, holders: Collection[str]) -> None:
        """Of other workers that hold operations, free what those hold whose process is provably gone."""
        free, at = await self.db.unheld(holders), time.monotonic()
        self._missing = {owner: self._missing.get(owner, at) for owner in free}
        for owner, since in self._missing.items():
            if at - since >= GONE_SECONDS:
                count = await self.db.write(log.release_from, owner)
                logger.warning("operations.taken_over", gone=owner, count=count)

    def trust_all(self) -> None:
        """Forget who seemed to be gone: we were cut off ourselves, so others may have been."""
        self._missing.clear()

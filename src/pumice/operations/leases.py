"""What a worker holds, for as long as it may; and what workers hold that are gone.

A lease is renewed while its operation is in hand, on a connection of its own. It is over when somebody else has
taken the operation over, or when the holder's own monotonic clock says so: a while before anybody else may take
it, whatever became of the renewals. Then the step in hand is cut short, and none is begun. What happens
nevertheless is fenced: whatever is written names the attempt (``state_machine.py``).

A worker on PostgreSQL holds its own name as a lock, which is free as soon as its process is dead. Whoever
serves the same places frees what such a worker held without waiting for the leases to end.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

import structlog

from pumice.host.bulkhead import Bulkhead
from pumice.host.turn import taking_turns
from pumice.model.errors import Cancelled, LostLease, Retryable, in_full
from pumice.operations.operation import Operation
from pumice.store import clock, work_queue
from pumice.store import operations as log
from pumice.store.database import Database

logger = structlog.get_logger(__name__)

GONE_SECONDS = 3.0
"""How long a worker's name is free until it counts as dead: one that lost its connection takes it again."""
MARGIN_SECONDS = 5.0
"""How long before its end in the log a lease is over for its holder, who lets go: at most a sixth of it."""
SILENT_SECONDS = 600.0
"""How long a step that tells how far it is, as a copy does, may tell nothing: it hangs, or its disk does."""
AGAIN_SECONDS = 1.0
"""Seconds after which leases are renewed again, when that failed."""


@dataclass(slots=True)
class Lease:
    """An operation in hand. Its task may not have begun. Times are the monotonic clock's."""

    kind: str
    place: str
    project: str
    until: float
    """When the lease ends for its holder."""
    began: datetime
    """When the operation was asked for, by the database's clock."""
    op: Operation[Any] | None = None
    acting: asyncio.Timeout | None = None
    """The limit of the step outside that is under way: its own or the lease's, whichever comes first."""
    limit: float = inf
    """When the step under way must have ended."""
    waiting_since: float | None = None
    """When the step began to wait for its turn, which its limit does not count."""
    waited: float = 0.0
    """Seconds by which its operation's deadline was put off meanwhile."""
    is_long: bool = False
    """Whether the step that is under way may be cut short by who cancels the operation."""
    silence: float = inf
    """Seconds for which the step may tell no progress."""
    heard: float | None = None
    """How far the step told last that it was."""
    silent_until: float = inf
    """When the step must have told more of how far it is."""
    cancelled: bool = False
    """Whether somebody asked for that."""
    looks: int = 0
    """How often its worker had looked for operations when this one was about to be saved."""
    within: list[Bulkhead] = field(default_factory=list)
    """Where the step under way is: in the threads of the last of these."""

    @property
    def is_away(self) -> bool:
        """Whether the step is in the threads of another place, as of a store of backups: it may hang there."""
        return bool(self.within) and self.within[-1] is not self.within[0]

    @property
    def is_busy(self) -> bool:
        """Whether it keeps one of its place's workers: not while it is away, or waits for its turn."""
        return self.waiting_since is None and not self.is_away

    def cancel(self) -> None:
        """Cut the step under way short, if it is a long one."""
        self.cancelled = True
        if self.is_long and self.acting is not None and not self.acting.expired():
            self.acting.reschedule(0.0)

    def reschedule(self) -> None:
        """Set the timeout of the step under way to its end, which has changed."""
        if self.acting is not None and not self.acting.expired():
            self.acting.reschedule(self.until if self.waiting_since is not None else self.end)

    @property
    def end(self) -> float:
        """When the step under way is cut."""
        return min(self.until, self.limit, self.silent_until)

    def listen(self) -> None:
        """Let a step that has told how far it is be silent for another ``silence`` seconds."""
        if self.op is not None and self.op.progress != self.heard:
            self.heard, self.silent_until = self.op.progress, time.monotonic() + self.silence
            self.reschedule()

    def waits(self) -> None:
        """The step in hand waits for its turn."""
        self.waiting_since = time.monotonic()
        self.reschedule()

    def goes_on(self) -> None:
        """The step has its turn: its limit and its operation's deadline are put off by what it waited."""
        if self.waiting_since is None:
            return  # its step is over
        waited = time.monotonic() - self.waiting_since
        self.waiting_since = None
        self.limit += waited
        self.silent_until += waited
        self.waited += waited
        if self.op is not None:
            self.op.deadline += waited
        self.reschedule()


class Leases:
    """The leases of the worker ``owner``, of ``seconds`` each.

    A long step after which another pool can be tried may tell no progress for ``silence`` seconds.
    """

    def __init__(self, db: Database, owner: str, seconds: float, silence: float = SILENT_SECONDS) -> None:
        self.db = db
        self.owner = owner
        self.seconds = seconds
        self.silence = silence
        self.held: dict[str, Lease] = {}
        """The leases in hand, by the operation's id."""
        self._missing: dict[str, float] = {}
        """Workers whose name is free, and since when on the monotonic clock."""

    def take(self, row: log.Row, asked: float) -> None:
        """A row was claimed, by a transaction that began at ``asked`` on the monotonic clock."""
        self.held[row["id"]] = Lease(
            row["kind"], row["place"], row["project_id"] or "", self._end(asked), row["created_at"]
        )

    def _end(self, asked: float) -> float:
        return asked + self.seconds - min(MARGIN_SECONDS, self.seconds / 6)

    def at(self, place: str) -> list[Lease]:
        """The operations in hand at a place."""
        held = list(self.held.values())  # at once: a transaction's thread may ask
        return [lease for lease in held if lease.place == place]

    async def keep(self) -> None:
        """Renew the leases in hand, again and again."""
        usual = wait = min(self.seconds, self.silence) / 3
        while True:
            await asyncio.sleep(wait)
            wait = usual
            if held := dict(self.held):
                for lease in held.values():
                    lease.listen()
                try:
                    async with asyncio.timeout(self.seconds / 3):
                        await self._renew(held)
                except (Retryable, TimeoutError) as error:
                    logger.warning("leases.not_renewed", error=in_full(error))
                    wait = min(AGAIN_SECONDS, self.seconds / 10)

    async def _renew(self, held: Mapping[str, Lease]) -> None:
        asked = time.monotonic()
        news = {key: _news(lease) for key, lease in held.items()}
        ours = await self.db.renew(work_queue.renew, self.owner, clock.time() + self.seconds, news)
        for key, lease in held.items():
            if key in ours:
                lease.until = self._end(asked)
            elif lease.acting is not None:
                logger.warning("operation.step_cut", operation=key)
                lease.until = 0.0
            lease.reschedule()
            if ours.get(key):
                lease.cancel()

    @contextlib.contextmanager
    def acting(
        self, op: Operation[Any], seconds: float, *, is_long: bool = False, silence: float = inf
    ) -> Iterator[asyncio.Timeout]:
        """The limit of a step outside, of at most ``seconds``, and of ``silence`` without a word of progress.

        Raises ``LostLease`` where the lease is over; a long one is cut short by ``Cancelled`` when that is
        asked for.
        """
        lease = self.held[op.id]
        lease.is_long = is_long
        if is_long and lease.cancelled:
            raise Cancelled
        lease.limit = time.monotonic() + seconds
        lease.silence, lease.heard, lease.silent_until = silence, op.progress, time.monotonic() + silence
        self._require(lease, op, "before its next step began")
        lease.acting = asyncio.timeout_at(lease.end)
        try:
            with taking_turns(op.project_id, lease):
                yield lease.acting
        except TimeoutError:
            self._require(lease, op, "in the middle of a step")
            if is_long and lease.cancelled:
                raise Cancelled from None
            raise
        finally:
            lease.acting = lease.waiting_since = None

    def cancel(self, operation_id: str) -> None:
        """Somebody cancelled an operation that may be in hand."""
        if lease := self.held.get(operation_id):
            lease.cancel()

    def _require(self, lease: Lease, op: Operation[Any], when: str) -> None:
        if time.monotonic() >= lease.until:
            raise LostLease(f"The lease on operation {op.id} was over {when}.")

    async def free_what_the_dead_hold(self, holders: Collection[str]) -> None:
        """Free the operations of those among ``holders`` whose process is provably gone."""
        free, at = await self.db.unheld(holders), time.monotonic()
        self._missing = {owner: self._missing.get(owner, at) for owner in free}
        for owner, since in self._missing.items():
            if at - since >= GONE_SECONDS:
                count = await self.db.write(work_queue.release_from, owner)
                logger.warning("operations.taken_over", gone=owner, count=count)

    def trust_all(self) -> None:
        """Forget who seemed to be gone: we were cut off ourselves, so others may have been."""
        self._missing.clear()


def _news(lease: Lease) -> dict[str, Any]:
    """What is new of an operation since its last step: how far a long one is, a deadline that was put off."""
    news: dict[str, Any] = {}
    if lease.op is not None and lease.op.progress is not None:
        news["progress"] = lease.op.progress
    if lease.op is not None and lease.waited:
        news["deadline"] = lease.op.deadline
    return news

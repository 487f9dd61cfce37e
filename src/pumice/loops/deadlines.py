"""End, with an explanation, operations whose host stays away past their deadline.

Each in a transaction of its own, the oldest first: what one meets stops no other. One that this version cannot
read, or whose verb fails to tell how it ended, is settled all the same: by its row alone, and what it held is
settled as the loop of the rows does it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from pumice.loops import rows
from pumice.model.errors import Retryable, Unreadable, in_full
from pumice.model.metrics_sink import MetricsSink
from pumice.operations.aside import Aside
from pumice.operations.settle import why_not_read
from pumice.operations.state_machine import StateMachine
from pumice.store import clock, overdue
from pumice.store.database import Database, Transaction

logger = structlog.get_logger(__name__)

SECONDS = 10.0
PATIENCE_SECONDS = 10.0
"""Trouble that lasts for longer pauses than this is the operation's own, not the database's."""
MOST = 500
"""How many are ended in one check."""


@dataclass(slots=True)
class Deadlines:
    """Ends operations whose deadline passed; what is left to undo stays in the log as cleaning for its host."""

    db: Database
    state_machine: StateMachine
    metrics: MetricsSink = field(default_factory=MetricsSink)
    aside: Aside = field(default_factory=Aside)
    monotonic: Callable[[], float] = time.monotonic
    since: dict[str, float] = field(default_factory=dict)
    """When each operation was first seen to wait at a place that nobody serves."""

    async def check(self) -> None:
        """Give up what is overdue, seldom anything: so only look first."""
        at = clock.time()
        late, unserved = await self.db.read(self._find, at)
        given_up = [await self._give_up(operation_id, at) for operation_id in late]
        given_up += [await self._give_up(key, at, why) for key, why in unserved.items()]
        if any(given_up):
            self.metrics.given_up(sum(given_up))
            logger.warning("operations.overdue", count=sum(given_up))

    def _find(self, tx: Transaction, at: float) -> tuple[Sequence[str], dict[str, str]]:
        return overdue.ids(tx, at, self.aside.now(), MOST), self._unserved(tx)

    def _unserved(self, tx: Transaction) -> dict[str, str]:
        """What has waited for too long at a place that nobody serves, and what to tell of it."""
        timeout = {
            kind: verb.unserved for kind, verb in self.state_machine.verbs.items() if verb.unserved is not None
        }
        down = self.state_machine.tunables.service_down_seconds
        found = overdue.unserved(tx, timeout, down)
        at = self.monotonic()
        self.since = {key: self.since.get(key, at) for key, *_ in found}
        return {
            key: "No valid host was found: the one that was chosen does not answer."
            for key, kind, _ in found
            if at - self.since[key] >= (timeout[kind] or 0)
        }

    async def _give_up(self, operation_id: str, at: float, early: str | None = None) -> bool:
        try:
            return await self.db.write(self.state_machine.give_up, operation_id, at, early)
        except Exception as error:
            pause = self._put_aside(operation_id, error)
            if isinstance(error, Retryable) and pause <= PATIENCE_SECONDS:
                return False
            why = why_not_read(error)
        try:
            return await self.db.write(self._give_up_unread, operation_id, at, why)
        except Exception as error:
            self._put_aside(operation_id, error)
            return False

    def _give_up_unread(self, tx: Transaction, operation_id: str, at: float, why: str) -> bool:
        if (row := self.state_machine.give_up_unread(tx, operation_id, at, why)) is None:
            return False
        self.metrics.unread(row["kind"])
        rows.settle_held(tx, operation_id)
        return True

    def _put_aside(self, operation_id: str, error: Exception) -> float:
        pause = self.aside.put(operation_id)
        bug = None if isinstance(error, Unreadable) else error
        logger.error(
            "operation.unsettled", operation=operation_id, error=in_full(error), pause=pause, exc_info=bug
        )
        return pause

"""Run the schedules that are due, and go on with their runs.

One statement says what is to be done. Each schedule, and each turn of a run, is then a transaction of its own,
in which whoever comes second finds nothing left to do: so of many processes one begins each run, and a process
that is killed has left nothing half done. What one schedule meets stops no other.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from pumice.model.errors import Retryable
from pumice.model.metrics_sink import MetricsSink
from pumice.model.tunables import Tunables
from pumice.store import schedules
from pumice.store.columns import now
from pumice.store.database import Database
from pumice.store.schedules import What
from pumice.volumes.schedules import clear
from pumice.volumes.schedules.accept import begin_due
from pumice.volumes.schedules.turn import take_turn

logger = structlog.get_logger(__name__)
T = TypeVar("T")
Turn = Callable[[str, str], Awaitable[bool]]

SECONDS = 12.0
"""How late a schedule may be, and how often an idle installation is asked."""
MOST = 50
"""The most work of each kind that is read at a time."""
MOST_ROUNDS = 40
"""Turns that each gets before the others of the next check."""


@dataclass(slots=True)
class Schedules:
    """Begins what is due."""

    db: Database
    tunables: Tunables = field(default_factory=Tunables)
    metrics: MetricsSink = field(default_factory=MetricsSink)

    async def check(self) -> None:
        """Begin what is due, and go on with what was begun, as far as that can be done now."""
        left = await self.db.read(lambda tx: list(schedules.due(tx, now(), MOST)))
        turns: list[tuple[Turn, str, str]] = []
        for one in left:
            if one.what == What.RUN:
                turns.append((self._go_on, one.id, one.project_id))
            elif one.what == What.CLEARING:
                turns.append((self._clear, one.id, one.project_id))
            elif begun := await self._each(one.id, self.db.write(begin_due, one.id, one.project_id)):
                turns.append((self._go_on, begun, one.project_id))
        for _ in range(MOST_ROUNDS):
            turns = [one for one in turns if await self._each(one[1], one[0](one[1], one[2]))]

    async def _clear(self, schedule_id: str, project_id: str) -> bool:
        """Take a turn of deleting a schedule with what it made; whether there is more to do at once."""
        return await self.db.write(clear.take_turn, schedule_id, project_id, self.tunables)

    async def _go_on(self, run_id: str, project_id: str) -> bool:
        """Take a turn of a run; whether there is more to do at once."""
        turned = await self.db.write(take_turn, run_id, project_id, self.tunables)
        if (ended := turned.ended) is not None:
            self.metrics.schedule_run(turned.makes, ended.state)
            tell = logger.warning if ended.error else logger.info
            counted = {"volumes": ended.volumes, "made": ended.made, "failed": ended.failed}
            tell("schedule.ran", schedule=ended.schedule_id, run=ended.id, error=ended.error, **counted)
        return turned.more

    async def _each(self, what: str, work: Awaitable[T]) -> T | None:
        """Do one thing, whatever it meets but the database's being away."""
        try:
            return await work
        except Retryable:
            raise
        except Exception as error:
            logger.error("schedule.not_run", schedule=what, error=str(error), exc_info=error)
            return None

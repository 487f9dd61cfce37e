"""End, with an explanation, operations whose host stays away past their deadline."""

from dataclasses import dataclass, field

import structlog

from pumice.model.meter import Meter
from pumice.operations.course import Course
from pumice.store import clock, operations
from pumice.store.database import Database

logger = structlog.get_logger(__name__)

SECONDS = 10.0


@dataclass(slots=True)
class Deadlines:
    """What is left to undo stays in the log as a cleaning job for that host."""

    db: Database
    course: Course
    meter: Meter = field(default_factory=Meter)

    async def look(self) -> None:
        """Give up what is overdue, seldom anything: so only look first."""
        if not await self.db.read(operations.overdue, clock.time()):
            return
        if count := await self.db.write(self.course.give_up_overdue, clock.time()):
            self.meter.given_up(count)
            logger.warning("operations.overdue", count=count)

"""End, with an explanation, operations whose host stays away past their deadline."""

import time
from dataclasses import dataclass

import structlog

from pumice.operations.course import Course
from pumice.store.database import Database

logger = structlog.get_logger(__name__)

SECONDS = 5.0


@dataclass(slots=True)
class Deadlines:
    """What is left to undo stays in the log as a cleaning job for that host."""

    db: Database
    course: Course

    async def look(self) -> None:
        """Give up what is overdue."""
        if count := await self.db.write(self.course.give_up_overdue, time.time()):
            logger.warning("operations.overdue", count=count)

"""Log what an administrator asks for by the API, and say what is logged.

Cinder sends both as messages to each service. Here the rows of ``store/log_levels.py`` are read when something
was asked, and from time to time; what is logged is written when it is not what was said before.
"""

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from pumice.host import loggers
from pumice.loops.every import whenever
from pumice.store import log_levels
from pumice.store.database import Database

logger = structlog.get_logger(__name__)

SECONDS = 30.0
"""How often to look without being told: twice in the time after which a service counts as down."""


@dataclass(slots=True)
class LogLevels:
    """What the services of one process log. They share its loggers: what is asked of one is done to all."""

    db: Database
    who: Collection[log_levels.Service]
    _made: int | None = None
    """The number of the last change that was made; None until it is known which were asked of others before."""
    _said: dict[str, str] | None = None

    async def keep(self) -> None:
        """Look whenever something is asked, and from time to time, for as long as the process lives."""
        await whenever(self.db, log_levels.TOPIC, self.look, "log levels", seconds=SECONDS)

    async def look(self) -> None:
        """Make the changes that were asked since this process began, and say what is logged if that is new."""
        asked = await self.db.write(log_levels.listen, self.who)
        made = self._made
        if made is not None:
            self._make([change for change in asked if change.number > made])
        self._made = max((change.number for change in asked), default=0)
        if (present := loggers.levels()) != self._said or self._made != made:
            await self.db.write(log_levels.say, self.who, present, self._made)
            self._said = present

    def _make(self, changes: Collection[log_levels.Change]) -> None:
        for change in changes:
            loggers.set_levels(change.prefix, change.level)
            logger.warning("log.level", prefix=change.prefix, level=change.level)

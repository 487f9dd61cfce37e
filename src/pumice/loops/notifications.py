"""Tell a message broker, in the words of Cinder's notifications, what is in the operation log, as it grows.

One scheduler does so, whichever is first; another takes over when it ends. How far it has come is written after
the broker has taken what is before: so after a crash some are told twice, with the same ``message_id``, and
none is left out that the log still has. A broker that is away, or hangs, makes them late, and is told as that.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from pumice.host.broker import Broker
from pumice.loops.every import tell_failure
from pumice.model.errors import Misconfigured, Retryable
from pumice.model.metrics_sink import MetricsSink
from pumice.store import logged, positions
from pumice.store.changes import CHANGED
from pumice.store.database import MISSED, Database
from pumice.webhooks.cinder import notifications

logger = structlog.get_logger(__name__)

NAME = "notifications"
PAGE = 200
GATHER_SECONDS = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
LEAD_SECONDS = 15.0
"""How often another scheduler looks whether it is its turn."""
SAVE_SECONDS = 60.0
"""How often it is written down that there was nothing to tell."""


@dataclass(slots=True)
class Notify:
    """Follows the log, and tells the broker."""

    db: Database
    broker: Broker
    metrics: MetricsSink = field(default_factory=MetricsSink)
    number: int = 0
    """Up to which the broker was told."""
    _saved: tuple[float, int] = (0.0, 0)
    _settled: logged.Settled = field(default_factory=logged.Settled)
    _told: asyncio.Event = field(default_factory=asyncio.Event)
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Do so for as long as this process lives."""
        stop = self.db.subscribe(self._hear)
        try:
            while True:
                await self._lead()
                await self._follow()
        finally:
            stop()

    def _hear(self, topic: str) -> None:
        if topic == MISSED or topic.startswith(CHANGED):
            self._told.set()

    async def _lead(self) -> None:
        """Wait until no other process does so."""
        while True:
            with suppress(Misconfigured, Retryable):
                await self.db.hold(NAME, self._lost.set, timeout=0)
                self.number = await self.db.write(positions.begin, NAME)
                self._saved = time.monotonic(), self.number
                self._lost.clear()
                return
            await asyncio.sleep(LEAD_SECONDS)

    async def _follow(self) -> None:
        pause, in_trouble = FIRST_PAUSE, False
        while not self._lost.is_set():
            self._told.clear()
            try:
                more = await self.turn()
            except Retryable as error:
                if not in_trouble:
                    logger.error("notifications.late", error=error.in_full)
                in_trouble = True
                self.metrics.notifications_failed()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            except Exception as error:
                tell_failure("loop.failed", error, loop=NAME)
                await asyncio.sleep(LONGEST_PAUSE)
                continue
            if in_trouble:
                logger.info("notifications.on_time")
            pause, in_trouble = FIRST_PAUSE, False
            if not more:
                await self._sleep()

    async def _sleep(self) -> None:
        seconds = self.db.poll_seconds if self._settled.is_all else GATHER_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        await asyncio.sleep(GATHER_SECONDS)

    async def turn(self) -> bool:
        """Tell a page. Whether there may be more."""
        upto = await self.db.read(self._settled.look)
        if upto <= self.number:
            return False
        found = await self.db.read(logged.lines_after, self.number, PAGE)
        page = [line for line in found if line["number"] <= upto]
        end = page[-1]["number"] if len(page) == PAGE else upto
        told = await self.db.read(lambda tx: notifications(tx, page, inside=True))
        if told:
            await self.broker.publish([(one.priority, one.context, one.message) for one in told])
            self.metrics.notified(len(told))
        self.number = end
        at, number = self._saved
        if told or (number < end and time.monotonic() >= at + SAVE_SECONDS):
            await self.db.write(positions.save, NAME, end)
            self._saved = time.monotonic(), end
        return len(page) == PAGE

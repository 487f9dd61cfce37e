"""Lets a request wait for an operation to end, wherever it is carried out."""

import asyncio
import contextlib

from pumice.store import operations as log
from pumice.store.database import MISSED, Database

FIRST_LOOK_SECONDS = 0.02
LONGEST_LOOK_SECONDS = 1.0


class Completions:
    """The operations that somebody in this process waits for."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._awaited: dict[str, set[asyncio.Event]] = {}
        """The waiting tasks by topic: each has an event of its own, which it clears before it looks."""
        db.subscribe(self._on_notify)

    def _on_notify(self, topic: str) -> None:
        called = self._awaited.values() if topic == MISSED else [self._awaited.get(topic, ())]
        for events in called:
            for event in events:
                event.set()

    async def wait(self, operation_id: str, timeout: float) -> tuple[bool, str | None]:
        """Whether the operation ended well and, if not, why. Raises ``TimeoutError`` if it goes on.

        Looks into the log when it is told, and from time to time as well: a notification may have been lost,
        or have come before anybody waited.
        """
        topic, event = log.ended_topic(operation_id), asyncio.Event()
        waiting = self._awaited.setdefault(topic, set())
        waiting.add(event)
        try:
            async with asyncio.timeout(timeout):
                look = FIRST_LOOK_SECONDS
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(look):
                            await event.wait()
                    event.clear()
                    if ending := (await self.db.read(log.completions, [operation_id])).get(operation_id):
                        return ending
                    look = min(look * 2, LONGEST_LOOK_SECONDS)
        finally:
            waiting.discard(event)
            if not waiting:
                self._awaited.pop(topic, None)

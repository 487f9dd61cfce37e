"""Lets a request wait for an operation to end, wherever it is carried out."""

import asyncio
import contextlib

from pumice.store import operations as log
from pumice.store.database import MISSED, Database

FIRST_LOOK_SECONDS = 0.25
LONGEST_LOOK_SECONDS = 1.0
MOST_REMEMBERED = 1000
"""How many ends are remembered: one may come before anybody waits for it."""


class Completions:
    """The operations that somebody in this process waits for."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._awaited: dict[str, set[asyncio.Event]] = {}
        """The waiting tasks by operation: each has an event of its own, which it clears before it looks."""
        self._told: dict[str, bool] = {}
        """What was told to have ended of late, and whether it was said that it ended well."""
        db.subscribe(self._on_notify)

    def _on_notify(self, topic: str) -> None:
        called = list(self._awaited.values()) if topic == MISSED else []
        if ended := log.ending(topic):
            operation_id, self._told[ended[0]] = ended
            called = [self._awaited.get(operation_id, set())]
            if len(self._told) > MOST_REMEMBERED:
                del self._told[next(iter(self._told))]
        for events in called:
            for event in events:
                event.set()

    async def wait(self, operation_id: str, timeout: float) -> tuple[bool, str | None]:
        """Whether the operation ended well and, if not, why. Raises ``TimeoutError`` if it goes on.

        Looks into the log when it is told, unless that says all, and from time to time as well: a notification
        may have been lost.
        """
        event = asyncio.Event()
        waiting = self._awaited.setdefault(operation_id, set())
        waiting.add(event)
        try:
            async with asyncio.timeout(timeout):
                look = 0.0 if operation_id in self._told else FIRST_LOOK_SECONDS
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(look):
                            await event.wait()
                    event.clear()
                    if self._told.get(operation_id):
                        return True, None
                    if ending := (await self.db.read(log.completions, [operation_id])).get(operation_id):
                        return ending
                    look = min(max(look * 2, FIRST_LOOK_SECONDS), LONGEST_LOOK_SECONDS)
        finally:
            waiting.discard(event)
            if not waiting:
                self._awaited.pop(operation_id, None)

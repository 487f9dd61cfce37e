"""The operation log as it grows, handed to who listens in this process (``own/events.py``).

One task reads the log, when it is told that something changed and somebody listens, and hands each line to the
streams that may see it. On PostgreSQL a number may be written before a smaller one: where one is missing it is
waited for, for as long as its transaction may take to end.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pumice.api.changes import Changes
from pumice.model.errors import Retryable
from pumice.store import logged
from pumice.store.changes import CHANGED
from pumice.store.database import MISSED, Database

PAGE = 500
GATHER_SECONDS = 0.05
"""How long is waited for more lines, before those that are there are read at once."""
GAP_SECONDS = 1.0
"""How long a number that is missing is waited for."""

Line = Mapping[str, Any]


@dataclass(eq=False)
class Stream:
    """A client that listens."""

    project_id: str | None
    """Whose events it is told; None for all."""
    lines: deque[Line] = field(default_factory=deque)

    @property
    def topic(self) -> str:
        """What is told when it has new lines."""
        return f"stream {id(self)}"

    def sees(self, line: Line) -> bool:
        """Whether it is told a line."""
        return self.project_id is None or line["project_id"] == self.project_id


class Feed:
    """Hands what is new in the log to the streams of this process."""

    def __init__(self, db: Database, changes: Changes) -> None:
        self._db = db
        self._changes = changes
        self._streams: set[Stream] = set()
        self._told = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._missing_since = 0.0
        self.last = 0
        """The number of the last line that was handed on."""
        db.subscribe(self._hear)

    def _hear(self, topic: str) -> None:
        if self._streams and (topic == MISSED or topic.startswith(CHANGED)):
            self._told.set()

    async def open(self, stream: Stream) -> int:
        """Let a stream hear what is behind the line whose number is returned."""
        async with self._opening:
            if self._reading is None or self._reading.done():
                self.last = await self._db.read(logged.last_line)
                self._reading = asyncio.create_task(self._read())
        self._streams.add(stream)
        return self.last

    def close(self, stream: Stream) -> None:
        """Let it go; with the last one nothing is read any more."""
        self._streams.discard(stream)
        if not self._streams and self._reading is not None:
            self._reading.cancel()
            self._reading = None

    async def _read(self) -> None:
        while True:
            with suppress(TimeoutError):  # a word may have been lost
                async with asyncio.timeout(
                    self._db.poll_seconds if not self._missing_since else GATHER_SECONDS
                ):
                    await self._told.wait()
            self._told.clear()
            await asyncio.sleep(GATHER_SECONDS)
            with suppress(Retryable):
                while self._hand_on(await self._db.read(logged.lines_after, self.last, PAGE)) == PAGE:
                    pass

    def _hand_on(self, lines: Sequence[Line]) -> int:
        """Hand lines to the streams, up to one whose predecessor may still come; how many."""
        for number, line in enumerate(lines):
            if not self._db.in_order and line["number"] != self.last + 1 and self._waits_for_gap():
                return number
            self._missing_since, self.last = 0.0, line["number"]
            for stream in self._streams:
                if stream.sees(line):
                    stream.lines.append(line)
                    self._changes.tell(stream.topic)
        return len(lines)

    def _waits_for_gap(self) -> bool:
        self._missing_since = self._missing_since or time.monotonic()
        return time.monotonic() < self._missing_since + GAP_SECONDS

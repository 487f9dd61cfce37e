"""Who in this process waits for a thing to change. An idle waiter is one future and one clock.

Transactions tell the ids of what they wrote (``store/changes.py``), in this process and, on PostgreSQL, in all
others. The last of them are remembered by their number: whoever has read a thing, and then finds out which
others it shows, still learns of a change that came in between.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

from pumice.model.tunables import Tunables
from pumice.store.changes import CHANGED
from pumice.store.database import MISSED, Database

MOST_REMEMBERED = 4096


class Changes:
    """The waiters of a process, by what they wait for."""

    def __init__(self, db: Database) -> None:
        self.number = 0
        """How many changes were told so far."""
        self.waiters = 0
        """How many requests wait."""
        self.stopping = False
        self._told: OrderedDict[str, int] = OrderedDict()
        """The number of each thing's last change, the newest last."""
        self._forgotten = 0
        """The highest number that is not remembered."""
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._projects: Counter[str | None] = Counter()
        db.subscribe(self._hear)

    def stop(self) -> None:
        """Let every waiter be answered at once: this process ends."""
        self.stopping = True
        self._wake(*self._waiting)

    @contextmanager
    def place(self, project_id: str | None, tunables: Tunables) -> Iterator[bool]:
        """Take one of the places for waiters, of the process and of a project; False if none is free."""
        own = self._projects[project_id]
        if self.stopping or self.waiters >= tunables.api_most_waiting or own >= tunables.api_project_waiting:
            yield False
            return
        self.waiters += 1
        self._projects[project_id] += 1
        try:
            yield True
        finally:
            self.waiters -= 1
            self._projects[project_id] -= 1
            if not self._projects[project_id]:
                del self._projects[project_id]

    async def wait(
        self, ids: Collection[str], since: int, seconds: float, gone: Callable[[], Awaitable[None]]
    ) -> bool:
        """Wait until one of these things has changed after change number ``since``, ``seconds`` at most.

        Whether one did. Also ends when ``gone`` returns, as the client has hung up, or this process stops.
        """
        if self._changed(ids, since):
            return True
        future = asyncio.get_running_loop().create_future()
        for one in ids:
            self._waiting.setdefault(one, set()).add(future)
        leaving = asyncio.ensure_future(gone())
        try:
            await asyncio.wait({future, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            for one in ids:
                self._waiting[one].discard(future)
                if not self._waiting[one]:
                    del self._waiting[one]
        return future.done() and not self.stopping

    def _changed(self, ids: Collection[str], since: int) -> bool:
        return since < self._forgotten or any(self._told.get(one, 0) > since for one in ids)

    def _hear(self, topic: str) -> None:
        if topic == MISSED:
            self.number += 1
            self._forgotten = self.number
            self._wake(*self._waiting)
        elif topic.startswith(CHANGED):
            self.tell(topic.removeprefix(CHANGED))

    def tell(self, one: str) -> None:
        """Wake who waits for this thing."""
        self.number += 1
        self._told[one] = self.number
        self._told.move_to_end(one)
        if len(self._told) > MOST_REMEMBERED:
            self._forgotten = self._told.popitem(last=False)[1]
        self._wake(one)

    def _wake(self, *ids: str) -> None:
        for one in ids:
            for future in self._waiting.get(one, ()):
                if not future.done():
                    future.set_result(None)

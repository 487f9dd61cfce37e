"""Turns at something that only a few may do at once, such as long copies to one disk.

They go round the projects: of two that wait the next turn is that of the one who had less, so that nobody waits
for the end of another's queue. To wait costs a step nothing of its time: who carries it is told when it waits
(``Waiter``), and what it has waited is added to its limit. The wait has a bound of its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Protocol

from pumice.model.errors import Retryable

LONGEST_SECONDS = 6 * 3600.0
"""How long a step waits for its turn until it gives up."""


class Waiter(Protocol):
    """A step that may have to wait for its turn."""

    def waits(self) -> None:
        """The work waits for its turn from now on."""

    def goes_on(self) -> None:
        """The work has its turn, and waits no longer."""


_who: ContextVar[tuple[str, Waiter | None]] = ContextVar("_who", default=("", None))


@contextmanager
def taking_turns(project: str | None, waiter: Waiter) -> Iterator[None]:
    """Turns that are taken meanwhile are this project's; ``waiter`` is told when one is waited for."""
    token = _who.set((project or "", waiter))
    try:
        yield
    finally:
        _who.reset(token)


class Serializer:
    """``at_once`` turns."""

    def __init__(self, at_once: int, longest: float = LONGEST_SECONDS) -> None:
        self._free = at_once
        self._longest = longest
        self._having: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The waiting steps by project, first the project whose last turn is longest ago."""

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end. Raises ``Retryable`` when none came for long."""
        project, waiter = _who.get()
        if self._free:
            self._free -= 1
        else:
            await self._wait(project, waiter)
        self._having[project] += 1
        try:
            yield
        finally:
            self._having[project] -= 1
            self._pass_on()

    async def _wait(self, project: str, waiter: Waiter | None) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(project, deque()).append(turn)
        if waiter:
            waiter.waits()
        try:
            async with asyncio.timeout(self._longest):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it came too late
            turn.cancel()
            if isinstance(error, TimeoutError):
                raise Retryable(f"No turn came within {self._longest:g} seconds.") from None
            raise
        finally:
            if waiter:
                waiter.goes_on()

    def _pass_on(self) -> None:
        """The next turn is of the project that has the fewest; of several, of that which waits longest."""
        for project in sorted(self._waiting, key=lambda project: self._having[project]):
            queue = self._waiting.pop(project)
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    if queue:
                        self._waiting[project] = queue
                    turn.set_result(None)
                    return
        self._free += 1

"""Calls that hang are told to the log, and so to every process: what they are about is left alone meanwhile."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from pumice.host.bulkhead import Bulkheads, Left
from pumice.model.errors import Retryable
from pumice.store import hanging
from pumice.store.database import Database, Transaction

AGAIN_SECONDS = 1.0
"""Seconds after which the log is told again, when that failed; and for which who must know it waits."""


class LeftCalls:
    """The left calls of ``owner``'s drivers. ``on_back`` is told when one came back after all."""

    def __init__(self, db: Database, owner: str, bulkheads: Bulkheads, on_back: Callable[[], object]) -> None:
        self.db = db
        self.owner = owner
        self._on_back = on_back
        self._telling: dict[str, asyncio.Task[None]] = {}
        """By the calls' ids, while the log is told of them."""
        bulkheads.on_left = lambda left: self._start(left, self._tell_left(left))
        bulkheads.on_back = lambda left: self._start(left, self._tell_back(left, self._telling.get(left.id)))

    async def is_told(self, left: Left) -> None:
        """Wait a moment until everybody knows of it."""
        if telling := self._telling.get(left.id):
            await asyncio.wait({telling}, timeout=AGAIN_SECONDS)

    def _start(self, left: Left, telling: Coroutine[Any, Any, None]) -> None:
        self._telling[left.id] = asyncio.get_running_loop().create_task(telling)

    async def _tell_left(self, left: Left) -> None:
        await self._write(
            lambda tx: hanging.add(
                tx,
                left.id,
                self.owner,
                left.place,
                left.call,
                subject=left.about,
                operation_id=left.operation_id,
                pool=left.pool,
                seconds=time.monotonic() - left.since,
            )
        )

    async def _tell_back(self, left: Left, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        await self._write(lambda tx: hanging.remove(tx, left.id))
        del self._telling[left.id]
        self._on_back()

    async def _write(self, work: Callable[[Transaction], None]) -> None:
        """Write it, however long the database is away."""
        while True:
            try:
                await self.db.write(work)
            except Retryable:
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

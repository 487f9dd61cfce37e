"""The one connection of a process that listens to PostgreSQL's notifications; names are locked on it as well.

    connect, LISTEN ──▶ take the names held before ──▶ tell: something may have been missed ──▶ hear …
       ▲                                                                                          │
       └───────────────────────────── wait a little ◀── the connection is lost ◀──────────────────┘

A name is an advisory lock of the session: PostgreSQL frees it when the process dies, however that happens. With
the connection the lock is lost too, and another process may be faster to take it: whoever held it is told.

The same connection ends transactions of ours whose process was stopped inside a statement: asyncpg prepares one
and asks for the answer (Flush) before it has it run, and while PostgreSQL waits there, or for an answer to be
taken, its ``idle_in_transaction_session_timeout`` does not count.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog

from pumice.model.errors import Misconfigured, in_full
from pumice.store.pipeline import CHANNEL

logger = structlog.get_logger(__name__)

NAMES = "pumice"
"""How the connections of every process of ours begin to name themselves in ``pg_stat_activity``."""
CHECK_SECONDS = 10.0
"""How often the connection is used to look for the stopped, and so is known to be there."""
STOPPED_SECONDS = 10
"""A transaction whose client says nothing for so long is ended: others wait for its rows."""
ANSWER_SECONDS = 10.0
RETAKE_SECONDS = 5.0
"""How long the server may take to notice that our own earlier connection is gone."""

TAKE = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_LOCKS = """
    SELECT l.pid FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(name, 0)
"""
# ruff: noqa: S608 (put together from what is written here)
_HOLDER = f"""
    SELECT a.application_name, coalesce(host(a.client_addr), 'this machine')
    FROM CAST($1 AS text) AS name, pg_stat_activity a WHERE a.pid IN ({_LOCKS})
"""
UNHELD = f"SELECT name FROM unnest($1::text[]) AS name WHERE NOT EXISTS ({_LOCKS})"
"""The query for names that nobody holds, among several."""
_SELF = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"
_END_STOPPED = f"""
    SELECT application_name AS process, pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name LIKE '{NAMES} %'
      AND state = 'active' AND wait_event IN ('ClientRead', 'ClientWrite')
      AND state_change < now() - interval '{STOPPED_SECONDS} s'
"""


class Listening:
    """Keeps the connection, and says what it hears.

    ``connect`` opens a connection of asyncpg's; ``hear`` is told each payload, ``missed`` when some may be
    lost.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Any]], hear: Callable[[str], None], missed: Callable[[], None]
    ) -> None:
        self._connect = connect
        self._hear = hear
        self._missed = missed
        self._connection: Any = None
        self._connected = asyncio.Event()
        self._session: tuple[Any, ...] = ()
        """The server's process for our connection, and when that began."""
        self._names: dict[str, Callable[[], None]] = {}
        self._task = asyncio.get_running_loop().create_task(self._stay())

    async def hold(self, name: str, lost: Callable[[], None], timeout: float) -> None:
        """Take a name for as long as this process lives; ``lost`` is called if another takes it meanwhile.

        Raises ``Misconfigured`` when another process still holds it after ``timeout``, in seconds.
        """
        while name not in self._names:
            await self._connected.wait()
            try:
                if not await self._take(name, timeout):
                    holder = await self._holder(name)
                    raise Misconfigured(
                        f"Another process holds '{name}': {holder}. Stop it, or give this one another --host."
                    )
                self._names[name] = lost
            except (asyncpg.InterfaceError, asyncpg.PostgresError, OSError) as error:
                logger.warning("database.deaf", error=in_full(error))
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Stop listening; the names are free."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _take(self, name: str, timeout: float) -> bool:
        give_up = asyncio.get_running_loop().time() + timeout
        while not await self._connection.fetchval(TAKE, name):
            if asyncio.get_running_loop().time() >= give_up:
                return False
            await asyncio.sleep(0.2)
        return True

    async def _holder(self, name: str) -> str:
        row = await self._connection.fetchrow(_HOLDER, name)
        return f"{row[0]} at {row[1]}" if row else "unknown"

    async def _stay(self) -> None:
        before = False
        while True:
            try:
                await self._listen(before)
            except Exception as error:  # whatever it is, listening goes on
                logger.warning("database.deaf", error=in_full(error))
            before = True
            await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311

    async def _listen(self, before: bool) -> None:
        """Listen until the connection is lost. ``before``: there was one, so something may have been missed."""
        connection = self._connection = await self._connect()
        closed = asyncio.Event()
        try:
            if self._session:  # the server may not have noticed that our earlier connection is gone
                await connection.execute(_END, *self._session)
            self._session = tuple(await connection.fetchrow(_SELF))
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(CHANNEL, lambda _c, _pid, _channel, payload: self._hear(payload))
            for name, lost in list(self._names.items()):
                if not await self._take(name, RETAKE_SECONDS):
                    logger.error("name.lost", name=name, holder=await self._holder(name))
                    del self._names[name]
                    lost()
            if before:
                self._missed()
            self._connected.set()
            while not closed.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_SECONDS):
                        await closed.wait()
                        break
                for ended in await connection.fetch(_END_STOPPED, timeout=ANSWER_SECONDS):
                    logger.warning("database.ended_stopped", process=ended["process"])
            logger.warning("database.deaf", error="The connection was closed.")
        finally:
            self._connected.clear()
            connection.terminate()

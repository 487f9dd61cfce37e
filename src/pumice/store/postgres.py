"""PostgreSQL: many processes on one database, and the same plain functions as transactions.

``work(tx, …)`` runs in a greenlet on the event loop (``run_sync``): its statements are awaited underneath, and
it does not know. Writes are SERIALIZABLE: of two that would be wrong together one fails, and is run again from
the start, like whatever met a deadlock or a lost connection. A process runs those again one at a time, so that
they do not go on meeting each other. Reads see one snapshot.

How seldom a transaction waits for an answer is told in ``pipeline.py``: once for each statement, and once for
the commit.

When the connection is lost *during* COMMIT nobody knows what came of it. So each transaction that writes leaves
a row in ``commits``, its *seal*, and that is asked for on the next connection: a write neither gets lost nor
happens twice. Who asks leaves the seal himself if it is not there: a transaction that is still on its way to
its end fails at that. (The transaction's own number tells less: a server that crashed gives it to another.)

Connections: at most ``WRITERS + READERS``, one that listens and one that renews leases,
``MOST_CONNECTIONS`` in all for each process. Set ``max_connections`` to that times the number of processes, and
some for the commands.
"""

import asyncio
import contextlib
import functools
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pumice.model.errors import Invalid, Retryable
from pumice.model.metrics_sink import MetricsSink
from pumice.store import pipeline
from pumice.store.clock import CLOCK
from pumice.store.columns import loads
from pumice.store.database import BUSY_SECONDS, MISSED, PATIENCE_SECONDS, Transaction, is_retryable, sqlstate
from pumice.store.discretion import hide_values
from pumice.store.listening import NAMES, STOPPED_SECONDS, TAKE, UNHELD, Listening
from pumice.store.pipeline import LastWords, MoreThanOneStatement
from pumice.store.schema import HEAD
from pumice.store.serialize import Serializer, is_row_by_row, queue_of, table_of

P = ParamSpec("P")
T = TypeVar("T")

WRITERS = 6
READERS = 4
MOST_CONNECTIONS = WRITERS + READERS + 2
ANSWER_SECONDS = 15.0
"""A statement that is not answered by then counts as a lost connection: rows are few, so none is slow."""
SUREST = 64
"""How often, at most, a read that has asked more than one statement gets a transaction before another trial."""
BUILD_LOOK_SECONDS = 0.2
"""How often who waits for another's building looks whether it is done."""
RACES = 3
"""How often a duplicate key counts as a race, and not as the answer."""

_BAR = """
    WITH barred AS (INSERT INTO commits VALUES ($1::bigint) ON CONFLICT DO NOTHING RETURNING seal)
    INSERT INTO commits SELECT seal + 1 FROM barred
"""
"""Leave a transaction's seal in its place. It waits for one that has left it and not ended yet."""
_IS_BARRED = "SELECT EXISTS (SELECT FROM commits WHERE seal = $1::bigint + 1)"
_FORGET_SEALS = "DELETE FROM commits WHERE seal < $1::bigint"
_TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"
_SEAL_BITS = 20
"""Bits in a seal below the milliseconds: chance, so that two equal ones are a race, and run again; the last is
0, and 1 in what says that a seal was left in another's place."""
_KEPT_SECONDS = 600.0
"""How long seals are kept: many times as long as anybody looks for one."""
_SWEEP_SECONDS = 60.0
_ALIVE = {"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""The server finds out within half a minute that a host has lost its power, and frees its names."""
_UNFIT = ("22000", "22001", "22003", "22021", "22P05")
"""SQLSTATEs of values that a column cannot take: type, length, range, a character that cannot be stored."""


class PostgresDatabase:
    """PostgreSQL 13 or later. To be made and used on one event loop."""

    poll_seconds = 15.0
    in_order = False

    def __init__(self, url: str | sa.URL, role: str = "", timeout: float = BUSY_SECONDS) -> None:
        self._timeout = timeout
        """Seconds for which a transaction is run again that met trouble of the database."""
        self._name = f"{NAMES} {role} process {os.getpid()} schema {HEAD}".replace("  ", " ")
        """How this process shows in ``pg_stat_activity``."""
        self.metrics = MetricsSink()
        self._me = secrets.token_hex(4)
        self._writing = self._engine(url, "SERIALIZABLE", WRITERS)
        self._reading = self._engine(url, "REPEATABLE READ", READERS, default_transaction_read_only="on")
        self._renewing = self._engine(url, "READ COMMITTED", 1)
        self._row_by_row = self._writing.execution_options(isolation_level="READ COMMITTED")
        self._single = self._writing.execution_options(isolation_level="AUTOCOMMIT")
        self._longer = dict[object, tuple[int, int]]()
        """By the code of reads that asked more than one statement: how often that is still taken for sure, and
        for how long it was last. Some always do, and some, whose names were known, but once in a while."""
        self._writers = asyncio.Semaphore(WRITERS)
        self._turns = Serializer()
        self._again = asyncio.Lock()
        self._sweep_at = time.monotonic() + random.uniform(0, _SWEEP_SECONDS)  # noqa: S311
        self._listeners: list[Callable[[str], None]] = []
        self._ears: Listening | None = None

    def _engine(self, url: str | sa.URL, isolation: IsolationLevel, size: int, **settings: str) -> AsyncEngine:
        engine = create_async_engine(
            sa.make_url(url).set(drivername="postgresql+asyncpg"),
            isolation_level=isolation,
            pool_size=size,
            pool_use_lifo=True,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=loads,
            connect_args={
                "timeout": ANSWER_SECONDS,
                "command_timeout": ANSWER_SECONDS,
                "server_settings": {
                    "application_name": self._name,
                    "jit": "off",
                    "timezone": "UTC",
                    "idle_in_transaction_session_timeout": f"{STOPPED_SECONDS}s",
                    **settings,
                },
            },
            hide_parameters=True,
        )
        sa.event.listen(engine.sync_engine, "do_connect", pipeline.connect)
        hide_values(engine.sync_engine)
        return engine

    # --- transactions ---------------------------------------------------------------------------

    async def write(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.write``."""
        queue = queue_of(work, args)
        async with self._turn(queue):
            await self._set_clock()
            once = functools.partial(self._write, queue, work, *args, **kw)
            try:
                result, topics = await _until_done(once, self._again, self.metrics, self._timeout)
            except Retryable:
                self._tell(MISSED)  # it may have been committed all the same
                raise
        for topic in topics:
            self._tell(topic)
        return result

    @contextlib.asynccontextmanager
    async def _turn(self, queue: str | None) -> AsyncIterator[None]:
        """A writer's turn in this process. Raises ``Retryable`` for who has waited for it too long."""
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._timeout):
                    await held.enter_async_context(self._turns.take(queue))
                    await held.enter_async_context(self._writers)
            except TimeoutError:
                raise Retryable("The database has too much to do: ask again later.") from None
            yield

    async def read(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.read``."""

        await self._set_clock()
        code = _code(work)

        async def once(run: Callable[..., T]) -> T:
            async with self._reading.connect() as connection:
                return await connection.run_sync(lambda sync: run(sync, work, *args, **kw))

        left, pause = self._longer.get(code, (0, 0))
        if left:
            self._longer[code] = left - 1, pause
        else:
            alone = functools.partial(once, _run_alone)
            try:
                found = await _until_done(alone, asyncio.Lock(), self.metrics, self._timeout)
            except MoreThanOneStatement:
                pause = min(max(2 * pause, 1), SUREST)
                self._longer[code] = pause, pause
            else:
                self._longer.pop(code, None)
                return found
        whole = functools.partial(once, lambda *asked, **named: _run(*asked, **named)[0])
        return await _until_done(whole, asyncio.Lock(), self.metrics, self._timeout)

    async def _write(
        self,
        queue: str | None,
        work: Callable[Concatenate[Transaction, P], T],
        *args: P.args,
        **kw: P.kwargs,
    ) -> tuple[T, list[str]]:
        lost: Exception | None = None
        seal = _new_seal()
        engine = self._row_by_row if is_row_by_row(work) else self._writing
        async with engine.connect() as connection:
            result, topics = await connection.run_sync(lambda sync: _run_in(queue, sync, work, *args, **kw))
            words = LastWords(seal, self._payloads(topics))
            await connection.run_sync(lambda sync: _leave(sync, words))
            try:
                await connection.commit()
            except (sa.exc.DBAPIError, OSError) as error:
                if not _is_lost(error):
                    raise
                await connection.invalidate()
                lost = error
        if lost is not None:
            has_committed = functools.partial(self._has_committed, seal)
            if not await _until_done(has_committed, asyncio.Lock(), self.metrics, self._timeout):
                raise lost
        await self._forget_seals()
        return result, topics

    def _payloads(self, topics: list[str]) -> list[str]:
        """What the other processes are sent: each topic once."""
        return [f"{self._me} {topic}" for topic in dict.fromkeys(topics)]

    async def _has_committed(self, seal: int) -> bool:
        """Whether a transaction was committed. If not it never will be."""
        async with self._single.connect() as connection:
            await connection.exec_driver_sql(_BAR, (seal,))
            return not (await connection.exec_driver_sql(_IS_BARRED, (seal,))).scalar()

    def hangs(self) -> str | None:
        """See ``Database.hangs``: a server that does not answer is one that was lost."""
        return None

    async def renew(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.renew``."""
        try:
            async with self._renewing.begin() as connection:
                result, topics = await connection.run_sync(lambda sync: _run(sync, work, *args, **kw))
                if topics:
                    words = LastWords(_new_seal(), self._payloads(topics))
                    await connection.run_sync(lambda sync: _leave(sync, words))
        except (sa.exc.SQLAlchemyError, OSError) as error:
            raise Retryable("The database does not answer.", str(error)) from error
        for topic in topics:
            self._tell(topic)
        return result

    async def build(self, name: str, statements: Sequence[str]) -> None:
        """See ``Database.build``."""
        connection = await self._connect()
        try:
            # again and again, for who waits in a statement keeps another's index unfinished
            while not await connection.fetchval(TAKE, name):
                await asyncio.sleep(BUILD_LOOK_SECONDS)
            for statement in statements:
                await connection.execute(statement)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise Retryable("The database does not answer.", str(error)) from error
        finally:
            await connection.close()

    async def _set_clock(self) -> None:
        """Ask the server what time it is, once in a while; while it does not answer the old answer serves."""
        if not CLOCK.is_stale:
            return
        CLOCK.is_asked()
        with contextlib.suppress(sa.exc.SQLAlchemyError, OSError):  # the transaction finds out
            async with self._reading.connect() as connection:
                await connection.exec_driver_sql("SELECT 1")  # a connection may have to be made first
                asked = time.monotonic()
                CLOCK.set((await connection.exec_driver_sql(_TIME)).scalar_one(), asked)

    async def _forget_seals(self) -> None:
        """Forget old seals, once in a while, by whoever comes by."""
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _SWEEP_SECONDS
        with contextlib.suppress(sa.exc.SQLAlchemyError, OSError):  # the next one will
            async with self._single.connect() as connection:
                await connection.exec_driver_sql(_FORGET_SEALS, (_seal_at(CLOCK.time() - _KEPT_SECONDS),))

    # --- notifications and names ----------------------------------------------------------------

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """See ``Database.subscribe``."""
        self._listeners.append(listener)
        self._listen()
        return lambda: self._listeners.remove(listener)

    async def hold(self, name: str, lost: Callable[[], None], *, timeout: float = PATIENCE_SECONDS) -> None:
        """See ``Database.hold``."""
        await self._listen().hold(name, lost, timeout)

    async def unheld(self, names: Collection[str]) -> set[str]:
        """See ``Database.unheld``."""

        def look(tx: Transaction) -> set[str]:
            return set(tx.connection.exec_driver_sql(UNHELD, (list(names),)).scalars())

        return await self.read(look)

    def _listen(self) -> Listening:
        if self._ears is None:
            self._ears = Listening(self._connect, self._hear, lambda: self._tell(MISSED))
        return self._ears

    async def _connect(self) -> Any:
        """A connection of asyncpg's outside the pool."""
        _, options = self._writing.dialect.create_connect_args(self._writing.url)
        settings = {"application_name": self._name, **_ALIVE}
        return await asyncpg.connect(**options, timeout=ANSWER_SECONDS, server_settings=settings)

    def _hear(self, payload: str) -> None:
        sender, _, topic = payload.partition(" ")
        if sender != self._me:  # our own were told right after the commit
            self._tell(topic)

    def _tell(self, topic: str) -> None:
        for listener in tuple(self._listeners):
            listener(topic)

    async def close(self) -> None:
        """See ``Database.close``."""
        if self._ears is not None:
            await self._ears.close()
        for engine in (self._writing, self._reading, self._renewing):
            await engine.dispose()


class _Transaction(Transaction):
    """A transaction that does not wait for what is sent."""

    __slots__ = ()

    def send(self, statement: sa.Executable, parameters: Any = None) -> None:
        """See ``Transaction.send``."""
        with pipeline.unanswered(self.connection):
            self.execute(statement, parameters)

    def lock(self, statement: sa.Executable, ids: Collection[str]) -> None:
        """See ``Transaction.lock``."""
        if new := sorted({it for it in ids if (statement, it) not in self.locked}):
            with pipeline.unanswered(self.connection):
                self.connection.execute(statement, {"ids": new})
            self.locked |= {(statement, it) for it in new}


def _new_seal() -> int:
    """A seal that no other transaction has, or is very unlikely to have."""
    return _seal_at(CLOCK.time()) + (secrets.randbits(_SEAL_BITS - 1) << 1)


def _seal_at(at: float) -> int:
    """The first seal of a moment: a bigint that grows with time, so that old ones are a range of the index."""
    return int(at * 1000) << _SEAL_BITS


def _run(
    connection: sa.Connection, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
) -> tuple[T, list[str]]:
    tx = _Transaction(connection)
    return work(tx, *args, **kw), tx.topics


def _run_in(
    queue: str | None,
    connection: sa.Connection,
    work: Callable[Concatenate[Transaction, P], T],
    *args: P.args,
    **kw: P.kwargs,
) -> tuple[T, list[str]]:
    """Run a transaction that first waits for its turn among the processes that have one in this queue."""
    pipeline.of(connection).turn = None if queue is None else table_of(queue)
    return _run(connection, work, *args, **kw)


def _run_alone(
    connection: sa.Connection, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
) -> T:
    """Run a read that is one statement. Raises ``MoreThanOneStatement`` when it is not."""
    raw = pipeline.of(connection)
    raw.alone, raw.asked = True, 0
    try:
        result, _ = _run(connection, work, *args, **kw)
    finally:
        raw.alone = False
    if raw.asked > 1:  # whatever the function made of the error
        raise MoreThanOneStatement
    return result


def _leave(connection: sa.Connection, words: LastWords) -> None:
    """Have a transaction leave this with its COMMIT."""
    if not connection.in_transaction():  # it asked nothing, but may have something to tell
        connection.begin()
    pipeline.of(connection).last_words = words


def _code(work: Any) -> object:
    """What a function does, whatever it is bound to: closures of one place in the source are the same."""
    while isinstance(work, functools.partial):
        work = work.func
    return getattr(work, "__code__", work)


async def _until_done(
    once: Callable[[], Awaitable[T]], again: asyncio.Lock, metrics: MetricsSink, timeout: float
) -> T:
    """Run it; while the database asks for that, or does not answer, run it again, with ``again`` in hand.

    Raises ``Retryable`` when it has not succeeded for ``timeout`` seconds.
    """
    give_up = time.monotonic() + timeout
    races = 0
    try:
        return await once()
    except (sa.exc.SQLAlchemyError, OSError) as error:
        races += _must_pass(error, races)
        why = "lost" if _is_lost(error) else "race"
    async with again:
        while True:
            metrics.rerun(why)
            try:
                return await once()
            except (sa.exc.SQLAlchemyError, OSError) as error:
                races += _must_pass(error, races)
                why = "lost" if _is_lost(error) else "race"
                if time.monotonic() > give_up:
                    said = getattr(error, "orig", None) or str(error) or type(error).__name__
                    raise Retryable("The database does not answer.", str(said)) from error
                await asyncio.sleep(random.uniform(0.2, 0.5) if _is_lost(error) else 0)  # noqa: S311


def _must_pass(error: Exception, races: int) -> int:
    """Raise an error that does not pass by itself. 1 for one that only passes if it came from a race."""
    if sqlstate(error) in _UNFIT:
        raise Invalid(
            "A value is too long, out of range, or holds a character that cannot be stored."
        ) from error
    if isinstance(error, sa.exc.IntegrityError) and races < RACES:
        return 1
    if is_retryable(error) or isinstance(error, sa.exc.TimeoutError) or _is_of_another_schema(error):
        return 0
    raise error


def _is_of_another_schema(error: Exception) -> bool:
    """Whether a statement was prepared before an upgrade changed its table; next time it is prepared anew."""
    return isinstance(getattr(error, "orig", None), AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError)


def _is_lost(error: Exception) -> bool:
    """Whether an error says that the connection is gone, and not what became of the transaction."""
    return not isinstance(error, sa.exc.DBAPIError) or error.connection_invalidated

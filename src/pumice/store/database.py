"""Transactions. The one door to the database.

A transaction is an ordinary function ``work(tx, ...)`` that reads and writes rows and touches nothing else::

    volume = await db.write(accept, who, wanted)     # runs accept(tx, who, wanted), commits
    rows = await db.read(volumes.page, who, query)   # runs page(tx, who, query) on one snapshot

Because the function awaits nothing, a transaction can never be held open across a call to the outside, and
because it touches nothing but rows it can be run again from the start when the database asks for that. Whoever
writes such a function never commits, never rolls back: returning commits, raising rolls back.

SQLite allows one writer at a time, so all writes of a process queue for one thread, which is also the fastest
way: no lock is ever contended. What was committed is flushed to the disk before anybody is told, once for all
that waited meanwhile. Reads run beside it on WAL snapshots. Measured against an ``await`` for each
statement this saves two thirds of a request's database time; see ``docs/decisions/0002-transactions.md``.
PostgreSQL, for many processes, is in ``postgres.py``.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import CursorResult, Engine
from sqlalchemy.pool import NullPool

from pumice.host.sole import Held, take_name
from pumice.model.errors import Invalid, Misconfigured, Trouble
from pumice.model.meter import Meter
from pumice.store.columns import loads
from pumice.store.discretion import hide_values
from pumice.store.tables import installation
from pumice.store.threads import Connected, Threads

P = ParamSpec("P")
T = TypeVar("T")

READERS = 2
BUSY_SECONDS = 20
PATIENCE_SECONDS = 5.0
MISSED = ""
"""The topic that stands for any: a listener could not listen for a while."""


class Transaction:
    """What a transaction's function works with: statements, and what is to happen once they are committed."""

    __slots__ = ("connection", "topics")

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.topics: list[str] = []

    def execute(self, statement: sa.Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run one statement; ``parameters`` is a mapping, or a list of them for many rows at once."""
        return self.connection.execute(statement, parameters)

    def notify(self, topic: str) -> None:
        """Tell every subscriber once this transaction is durable, and nobody if it never is."""
        self.topics.append(topic)


class Database(Protocol):
    """A database that runs transactions."""

    poll_seconds: float
    """How often to look for what ``subscribe`` should have told: a word may be lost, seldom."""
    meter: Meter
    """Told of transactions that had to run again."""

    async def write(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run ``work`` in a transaction that may write, and commit it. Raises ``Trouble`` if it cannot."""

    async def read(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run ``work`` in a transaction that only reads, on one consistent snapshot."""

    async def renew(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run ``work`` once, on a connection of its own that no crowd of other transactions keeps busy.

        For leases alone: it is not serializable, and is never run again. Raises ``Trouble``.
        """

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call ``listener(topic)`` on the event loop after each commit that notifies. Returns the way to stop.

        The topic is ``MISSED`` when some may have been lost on the way from other processes. One may also be
        lost for good when a process dies; whoever waits for one also looks from time to time.
        """

    async def hold(self, name: str, lost: Callable[[], None], *, patience: float = PATIENCE_SECONDS) -> None:
        """Be the only process that holds ``name``, until this one ends, however it ends.

        Raises ``Misconfigured`` when another still does after ``patience``: it may just be dying. ``lost`` is
        called if another takes it after the connection was lost. On SQLite it is the only one of this machine
        that has the database or a copy of it.
        """

    async def unheld(self, names: Collection[str]) -> set[str]:
        """Those of the names that no living process holds. On SQLite nobody knows, so there are none."""

    async def close(self) -> None:
        """Let running transactions end and close every connection."""


class SqliteDatabase:
    """SQLite in WAL mode: one writing thread, a few reading ones."""

    poll_seconds = 5.0

    def __init__(self, path: Path, *, readers: int = READERS) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.meter = Meter()
        self._writer = _engine(path, "BEGIN IMMEDIATE")
        self._reader = _engine(path, "BEGIN")
        self._writing = Threads(self._writer.connect, 1, "db-write", lambda: flush(path))
        self._reading = Threads(self._reader.connect, readers, "db-read")
        self._listeners: list[Callable[[str], None]] = []
        self.make_room: Callable[[], bool] = lambda: False
        """Called, in a thread, where the disk is full. Whether it is worth to try again."""
        self._held: dict[str, Held] = {}

    async def write(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.write``."""

        def job(connected: Connected) -> tuple[T, list[str]]:
            try:
                return _run(connected, work, *args, **kw)
            except Trouble as error:
                if is_full(error) and self.make_room():
                    return _run(connected, work, *args, **kw)
                raise

        result, topics = await self._writing.run(job)
        for topic in topics:
            for listener in tuple(self._listeners):
                listener(topic)
        return result

    async def read(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.read``."""
        return (await self._reading.run(lambda connected: _run(connected, work, *args, **kw)))[0]

    async def renew(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.renew``. Nobody else could take a lease over here, so it may wait like any other."""
        return await self.write(work, *args, **kw)

    def write_now(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """The same as ``write`` for callers without an event loop (commands, set-up)."""
        return self._writing.run_now(lambda connected: _run(connected, work, *args, **kw))[0]

    def read_now(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """The same as ``read`` for callers without an event loop."""
        return self._reading.run_now(lambda connected: _run(connected, work, *args, **kw))[0]

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """See ``Database.subscribe``."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def hold(self, name: str, lost: Callable[[], None], *, patience: float = PATIENCE_SECONDS) -> None:  # noqa: ARG002 (the contract's)
        """See ``Database.hold``."""
        if name not in self._held:
            who = await self.read(lambda tx: tx.execute(sa.select(installation.c.id)).scalar())
            self._held[name] = take_name(f"{who or self.path.resolve()} {name}", f"'{name}'")

    async def unheld(self, names: Collection[str]) -> set[str]:  # noqa: ARG002 (the contract's)
        """See ``Database.unheld``."""
        return set()

    async def close(self) -> None:
        """See ``Database.close``."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """The same as ``close`` for callers without an event loop."""
        self._reading.close()
        self._writing.close()
        for held in self._held.values():
            held.close()


def is_trouble(error: Exception) -> bool:
    """Whether an error met inside a transaction is the database's own: ``write`` deals with it, nobody else."""
    if isinstance(error, sa.exc.DBAPIError):
        state = sqlstate(error)
        lost = error.connection_invalidated or state[:2] in _AWAY
        return isinstance(error, sa.exc.OperationalError) or lost or state in _MET_ANOTHER
    return isinstance(error, OSError)  # a transaction touches rows only: this was the connection's


def is_full(trouble: Trouble) -> bool:
    """Whether a transaction failed because there is no space left under an SQLite database."""
    original = getattr(trouble.__cause__, "orig", None)
    code = getattr(original, "sqlite_errorcode", 0)
    return code == sqlite3.SQLITE_FULL or (code & 0xFF) == sqlite3.SQLITE_IOERR


def shown(url: str) -> str:
    """A database's URL without the password."""
    return sa.make_url(url).render_as_string()


def alone(tx: Transaction) -> None:
    """Begin a transaction that sets up a database: wait until no other process does, and see what it did."""
    if tx.connection.dialect.name == "postgresql":
        tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
        tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('set up', 0))"))


_AWAY = ("08", "53", "57")
"""Classes of PostgreSQL's errors: no connection, no resources, told to stop."""
_MET_ANOTHER = ("40001", "40P01")
"""Serialization failure, deadlock."""


def sqlstate(error: Exception) -> str:
    """The standard's code of a database's error; empty when it has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def open_database(url: str, role: str = "", patience: float = BUSY_SECONDS) -> Database:
    """Open the database of ``url``: ``sqlite:////var/lib/pumice/pumice.db``, ``postgresql://user@host/pumice``.

    ``role`` is how this process is called in PostgreSQL; ``patience`` how long a server that does not answer is
    asked again, in seconds.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise Misconfigured("The database URL is none: it reads sqlite:///PATH or postgresql://…") from None
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        from pumice.store.postgres import PostgresDatabase

        return PostgresDatabase(parsed, role, patience)
    if kind != "sqlite" or not parsed.database:
        shown = parsed.render_as_string()
        raise Misconfigured(f"The database URL '{shown}' is not of the form sqlite:///PATH or postgresql://…")
    return SqliteDatabase(Path(parsed.database))


def flush(path: Path) -> None:
    """Have all that was committed to a database on its disk, for a power cut to leave. Raises ``Trouble``."""
    with contextlib.suppress(FileNotFoundError):  # nothing was committed yet
        log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fdatasync(log)
        except OSError as error:
            raise Trouble(f"The database cannot be written to the disk: {error.strerror}") from error
        finally:
            os.close(log)


def _engine(path: Path, begin: str) -> Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        hide_parameters=True,
        poolclass=NullPool,  # each thread keeps its one connection
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=loads,
        connect_args={
            "check_same_thread": False,
            "isolation_level": None,
            "timeout": BUSY_SECONDS,
            "cached_statements": 512,
        },
    )

    hide_values(engine)

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        # NORMAL keeps the database whole through any crash and every commit through the death of the process.
        # What keeps commits through a power cut is ``flush``, once for all that waited, before any is told.
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "cache_size=-2000",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _as_it_can_be(text: bytes) -> str:
    return text.decode(errors="replace")


def _run(
    connected: Connected, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs
) -> tuple[T, list[str]]:
    """Run a transaction to its commit, again if another process was in the way."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with connected().begin():
                tx = Transaction(connected())
                result = work(tx, *args, **kw)
            return result, tx.topics
        except OverflowError:
            raise Invalid("A number is out of range.") from None
        except sa.exc.OperationalError as error:
            if "decode to UTF-8" in str(
                error.orig
            ):  # one row costs nobody else a thing: it is read as it can be
                connected().connection.driver_connection.text_factory = _as_it_can_be  # type: ignore[union-attr]
                continue
            if time.monotonic() > give_up or "locked" not in str(error.orig):
                raise Trouble(f"The database does not answer: {error.orig}") from error
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311

"""SQLite: one process, one writer at a time, which needs no server.

All writes queue for one thread, which is the fastest way: no lock is ever contended. What was committed is
flushed to the disk before anybody is told, once for all that waited meanwhile. Reads run beside it on WAL
snapshots.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import NullPool

from pumice.host.sole import Held, take_name
from pumice.model import pattern
from pumice.model.errors import Invalid, Retryable
from pumice.model.metrics_sink import MetricsSink
from pumice.store.columns import loads
from pumice.store.database import BUSY_SECONDS, PATIENCE_SECONDS, Transaction
from pumice.store.discretion import hide_values
from pumice.store.tables import installation
from pumice.store.threads import Connected, Threads

P = ParamSpec("P")
T = TypeVar("T")

READERS = 2
INSTRUCTIONS = 100_000
"""After so many of SQLite's own instructions, some milliseconds, a statement is known to go on."""


class SqliteDatabase:
    """SQLite in WAL mode: one writing thread, a few reading ones."""

    poll_seconds = 5.0
    in_order = True

    def __init__(self, path: Path, *, readers: int = READERS) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.metrics = MetricsSink()
        self._writer = _engine(path, "BEGIN IMMEDIATE")
        self._reader = _engine(path, "BEGIN")
        self._writing = Threads(
            self._writer.connect, 1, "db-write", str(path), lambda: flush(path), watch=_watch
        )
        self._reading = Threads(self._reader.connect, readers, "db-read", str(path), watch=_watch)
        self._listeners: list[Callable[[str], None]] = []
        self.make_room: Callable[[], bool] = lambda: False
        """Called, in a thread, where the disk is full. Whether it is worth to try again."""
        self._held: dict[str, Held] = {}

    async def write(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.write``."""

        def job(connected: Connected) -> tuple[T, list[str]]:
            try:
                return _run(connected, work, *args, **kw)
            except Retryable as error:
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

    def hangs(self) -> str | None:
        """See ``Database.hangs``."""
        return self._writing.hangs() or self._reading.hangs()

    async def renew(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """See ``Database.renew``. Nobody else could take a lease over here, so it may wait like any other."""
        return await self.write(work, *args, **kw)

    async def build(self, name: str, statements: Sequence[str]) -> None:
        """See ``Database.build``."""

    def write_now(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Write as ``write`` does, for callers without an event loop (commands, set-up)."""
        return self._writing.run_now(lambda connected: _run(connected, work, *args, **kw))[0]

    def read_now(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Read as ``read`` does, for callers without an event loop."""
        return self._reading.run_now(lambda connected: _run(connected, work, *args, **kw))[0]

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """See ``Database.subscribe``."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def hold(self, name: str, lost: Callable[[], None], *, timeout: float = PATIENCE_SECONDS) -> None:  # noqa: ARG002 (the contract's)
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
        """Close as ``close`` does, for callers without an event loop."""
        self._reading.close()
        self._writing.close()
        for held in self._held.values():
            held.close()


def is_full(trouble: Retryable) -> bool:
    """Whether a transaction failed because there is no space left under an SQLite database."""
    original = getattr(trouble.__cause__, "orig", None)
    code = getattr(original, "sqlite_errorcode", 0)
    return code == sqlite3.SQLITE_FULL or (code & 0xFF) == sqlite3.SQLITE_IOERR


def flush(path: Path) -> None:
    """Have all that was committed to a database on its disk, for a power cut to leave. Raises ``Retryable``."""
    with contextlib.suppress(FileNotFoundError):  # nothing was committed yet
        log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fdatasync(log)
        except OSError as error:
            raise Retryable("The database cannot be written to the disk.", error.strerror or "") from error
        finally:
            os.close(log)


def _watch(connection: sa.Connection, goes_on: Callable[[], None]) -> None:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.set_progress_handler(goes_on, INSTRUCTIONS)
    sa.event.listen(connection, "before_cursor_execute", lambda *_: goes_on())


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
        # SQLAlchemy's own has no bound on its time.
        connection.create_function("regexp", 2, pattern.matches, deterministic=True)

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
            if "decode to UTF-8" in str(error.orig):  # a row that is read as well as it can be stops no other
                connected().connection.driver_connection.text_factory = _as_it_can_be  # type: ignore[union-attr]
                continue
            if time.monotonic() > give_up or "locked" not in str(error.orig):
                raise Retryable("The database does not answer.", str(error.orig)) from error
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311

"""``python -m benchmarks.transactions``: a transaction in one hop, or with an ``await`` for each statement.

Both ways run the same statements on the same SQLite file with the same settings: a write of a request (one row
read, one updated, two inserted) and a read of one (three rows by key). ``one hop`` is ``store/database.py``;
``await each`` is SQLAlchemy's asyncio extension on aiosqlite, writes over one connection, reads over two.
The decision that rests on it: ``docs/decisions/0002-transactions.md``.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pumice.store.database import Transaction
from pumice.store.sqlite import SqliteDatabase

ROUNDS = 2000
AT_ONCE = 32

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(255)),
    sa.Column("count", sa.Integer),
)
notes = sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))

_get = sa.select(things).where(things.c.id == sa.bindparam("key"))
_count = sa.update(things).where(things.c.id == sa.bindparam("key")).values(count=things.c.count + 1)
_note = sa.insert(notes)

Do = Callable[[], Awaitable[None]]


def write_rows(tx: Transaction) -> None:
    """The write, as an ordinary function."""
    tx.execute(_get, {"key": 1}).one()
    tx.execute(_count, {"key": 1})
    tx.execute(_note, {"text": "first"})
    tx.execute(_note, {"text": "second"})


def read_rows(tx: Transaction) -> None:
    """The read, as an ordinary function."""
    for key in (1, 2, 3):
        tx.execute(_get, {"key": key}).one()


def one_hop(db: SqliteDatabase) -> tuple[Do, Do]:
    """Both, each in one hop to a thread."""
    return lambda: db.write(write_rows), lambda: db.read(read_rows)


def await_each(writer: AsyncEngine, reader: AsyncEngine) -> tuple[Do, Do]:
    """Both, with an ``await`` for each statement."""

    async def write() -> None:
        async with writer.begin() as connection:
            (await connection.execute(_get, {"key": 1})).one()
            await connection.execute(_count, {"key": 1})
            await connection.execute(_note, {"text": "first"})
            await connection.execute(_note, {"text": "second"})

    async def read() -> None:
        async with reader.connect() as connection:
            for key in (1, 2, 3):
                (await connection.execute(_get, {"key": key})).one()

    return write, read


def async_engine(path: Path, begin: str, connections: int) -> AsyncEngine:
    """An engine with the same settings as ``store/database.py``."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        pool_size=connections,
        max_overflow=0,
        connect_args={"isolation_level": None, "timeout": 20, "cached_statements": 512},
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-8000", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


async def measure(do: Do) -> tuple[float, float, float, float]:
    """Milliseconds p50 and p99 one at a time; a second's worth, and CPU milliseconds of one, at ``AT_ONCE``."""
    for _ in range(100):
        await do()
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        await do()
        taken.append((time.perf_counter() - begun) * 1000)

    async def client() -> None:
        for _ in range(ROUNDS // AT_ONCE):
            await do()

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    number = ROUNDS // AT_ONCE * AT_ONCE
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return (
        statistics.median(taken),
        statistics.quantiles(taken, n=100)[-1],
        number / seconds,
        cpu / number * 1000,
    )


async def main() -> None:
    """Measure, and print the table."""
    table = Table("", "p50 ms", "p99 ms", f"a second, {AT_ONCE} at once", "CPU ms", title="A transaction")
    with tempfile.TemporaryDirectory(prefix="pumice-benchmark-") as folder:
        path = Path(folder) / "measured.db"
        db = SqliteDatabase(path)
        db.write_now(lambda tx: metadata.create_all(tx.connection))
        db.write_now(lambda tx: tx.execute(sa.insert(things), [{"name": "x", "count": 0}] * 3) and None)
        writer, reader = async_engine(path, "BEGIN IMMEDIATE", 1), async_engine(path, "BEGIN", 2)
        for way, (write, read) in (("one hop", one_hop(db)), ("await each", await_each(writer, reader))):
            for what, do in (("write, 4 statements", write), ("read, 3 statements", read)):
                p50, p99, rate, cpu = await measure(do)
                table.add_row(f"{way}: {what}", f"{p50:.2f}", f"{p99:.2f}", f"{rate:.0f}", f"{cpu:.2f}")
        await writer.dispose()
        await reader.dispose()
        await db.close()
    Console(width=100).print(table)


if __name__ == "__main__":
    uvloop.run(main())

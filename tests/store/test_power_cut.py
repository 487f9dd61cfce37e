"""What was told to anybody outlives a power cut on SQLite: the database as it was at its last flush has it.

A cut leaves at least what was flushed; here it leaves nothing else. `make power-cut` pulls real disks.
"""

import asyncio
import os
import random
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world
from tests.in_full import says

from databases import flush, new_sqlite
from pumice.backends.fake import FakeBackend
from pumice.loops import orphans
from pumice.loops.audit import OUTSIDE, ROWS
from pumice.loops.violation import Repair
from pumice.model.errors import PumiceError, Retryable
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import sqlite
from pumice.store.database import Transaction
from pumice.store.sqlite import SqliteDatabase
from pumice.volumes import create, delete

PLACE = f"{HOST}@one"


class Disk:
    """What the disk has of a database: it as it was at its last flush."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept / "pumice.db"
        self.flushes = 0
        self._lock = threading.Lock()

    def flush(self, path: Path) -> None:
        """Flush it, and note what the disk has now."""
        flush(path)
        self.flushes += 1
        with self._lock:
            for part in (path, Path(f"{path}-wal")):
                shutil.copyfile(part, self.kept.with_name(part.name))

    def has(self, number: int) -> bool:
        """Whether a row that ``tell`` made is on the disk."""
        with self._lock, closing(sqlite3.connect(self.kept)) as copy:
            return bool(copy.execute("SELECT 1 FROM told WHERE number = ?", [number]).fetchall())

    async def cut(self, db: SqliteDatabase) -> None:
        """Lose the rest, and what the thread of the dead process still has in hand."""
        left = self.kept.parent / "left"
        with self._lock:
            shutil.copytree(self.kept.parent, left)
        await db.write(lambda _: None)
        with (
            closing(sqlite3.connect(left / "pumice.db")) as source,
            closing(sqlite3.connect(db.path)) as target,
        ):
            source.backup(target)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "disk").mkdir()
    found = Disk(tmp_path / "disk")
    monkeypatch.setattr(sqlite, "flush", found.flush)
    return found


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    new_sqlite(tmp_path / "pumice.db")
    db = SqliteDatabase(tmp_path / "pumice.db")
    await db.write(lambda tx: tx.execute(sa.text("CREATE TABLE told (number INTEGER)")) and None)
    yield db
    await db.close()


def tell(tx: Transaction, number: int) -> int:
    tx.execute(sa.text("INSERT INTO told VALUES (:number)"), {"number": number})
    return number


async def test_whoever_is_answered_finds_it_again_after_a_power_cut(disk: Disk, db: SqliteDatabase) -> None:
    for number in range(5):
        await db.write(tell, number)
        assert disk.has(number)
    db.write_now(tell, 5)
    assert disk.has(5)


async def test_many_who_wait_cost_few_flushes_and_none_is_answered_before_its_own(
    disk: Disk, db: SqliteDatabase
) -> None:
    async def one(number: int) -> None:
        await db.write(tell, number)
        assert disk.has(number)

    before = disk.flushes
    await asyncio.gather(*(one(number) for number in range(100)))
    assert disk.flushes - before < 50


async def test_what_cannot_be_flushed_is_not_answered_well(
    db: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(sqlite, "flush", flush)
    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(Retryable, match="cannot be written to the disk", check=says("Input/output error")):
        await db.write(tell, 1)


@pytest.mark.parametrize("seed", range(4))
async def test_no_volume_that_was_answered_and_no_bytes_of_it_are_lost(
    disk: Disk, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    backend = FakeBackend(("a",), directory=tmp_path / "pools")
    await backend.start()
    async with fake_world({PLACE: backend}) as world:
        there, gone = set[str](), set[str]()

        async def client() -> None:
            while True:
                volume = (await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)).id
                there.add(volume)
                await asyncio.sleep(0)
                doomed = dice.choice(sorted(there))
                there.discard(doomed)  # until it is answered, either may be
                try:
                    await world.db.write(delete.accept, TENANT, doomed)
                    gone.add(doomed)
                except PumiceError:
                    there.add(doomed)

        async with working(world, "before", no_faults):
            clients = [asyncio.create_task(client()) for _ in range(4)]
            await asyncio.sleep(dice.uniform(0.1, 0.3))
            for it in clients:
                it.cancel()
            await asyncio.wait(clients)
        await after(world, disk, there, gone)


async def after(world: FakeWorld, disk: Disk, there: set[str], gone: set[str]) -> None:
    """The power is back: everything begins again, and repair waits for nothing."""
    assert isinstance(world.db, SqliteDatabase)
    await disk.cut(world.db)
    for look in (*OUTSIDE, ROWS):
        await Repair(look.at, world.drivers, grace=0).run()
    async with working(world, "after", no_faults):
        await quiet(world)
    for volume in there:
        assert await world.volume_status(volume) == "available"
    for volume in gone:
        assert await world.volume_status(volume) is None
    assert await world.violations() == []
    assert not await orphans.put_aside(world.backends[PLACE])

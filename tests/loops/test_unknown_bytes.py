"""Bytes of which nothing is known are put aside and never destroyed; a restored database harms nobody."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.backends import aside
from pumice.backends.fake import FakeBackend
from pumice.loops import orphans
from pumice.loops.audit import OUTSIDE, ROWS
from pumice.loops.violation import Repair
from pumice.model.ids import VolumeId, new_id
from pumice.model.stored import StoredObject
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import volumes
from pumice.store.sqlite import SqliteDatabase
from pumice.store.tombstones import Kind
from pumice.volumes import create, delete

PLACE = f"{HOST}@one"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FakeWorld]:
    backend = FakeBackend(("a",), directory=tmp_path / "pools")
    await backend.start()
    async with fake_world({PLACE: backend}) as world:
        yield world


async def repair(world: FakeWorld) -> None:
    """Every loop, without any grace, until nothing changes any more."""
    for _ in range(3):
        for look in (*OUTSIDE, ROWS):
            await Repair(look.at, world.drivers, grace=0).run()


async def some(world: FakeWorld, number: int) -> list[str]:
    async with working(world, "at-work", no_faults):
        found = [await world.a_volume() for _ in range(number)]
        await quiet(world)
    for volume in found:
        with (await world.backends[PLACE].device(VolumeId(volume), "a")).open("r+b") as file:
            file.write(volume.encode())
    return found


async def bytes_of(world: FakeWorld, volume: str) -> bytes:
    with (await world.backends[PLACE].device(VolumeId(volume), "a")).open("rb") as file:
        return file.read(36)


async def waiting(world: FakeWorld) -> dict[str, str]:
    """The names of what was put aside, by volume."""
    return {it.piece.id: it.name for it in await orphans.put_aside(world.backends[PLACE])}


def copied(world: FakeWorld, end: Path) -> None:
    assert isinstance(world.db, SqliteDatabase)
    with closing(sqlite3.connect(world.db.path)) as source, closing(sqlite3.connect(end)) as target:
        source.backup(target)


def restored(world: FakeWorld, backup: Path) -> None:
    assert isinstance(world.db, SqliteDatabase)
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(world.db.path)) as target:
        source.backup(target)


async def test_after_a_restore_what_is_younger_is_put_aside_and_comes_back_with_its_row(
    world: FakeWorld, tmp_path: Path
) -> None:
    old = await some(world, 2)
    copied(world, tmp_path / "old.db")
    young = await some(world, 8)
    async with working(world, "at-work", no_faults):
        await world.db.write(delete.accept, TENANT, old[0])
        await quiet(world)
    copied(world, tmp_path / "new.db")
    restored(world, tmp_path / "old.db")
    await repair(world)
    assert (await waiting(world)).keys() == set(young)
    assert await bytes_of(world, old[1]) == old[1].encode()
    assert await world.violations() == [f"volume {old[0]} has no bytes on {PLACE}"]
    restored(world, tmp_path / "new.db")
    await repair(world)
    assert not await waiting(world)
    assert [await bytes_of(world, volume) for volume in young] == [volume.encode() for volume in young]
    assert not await world.violations()


async def test_another_database_destroys_nothing_however_often_the_loops_run(world: FakeWorld) -> None:
    known = await some(world, 3)
    for volume in known:
        await world.db.write(volumes.delete, volume, bytes_stay=True)  # as if it had never been here
    await repair(world)
    assert (await waiting(world)).keys() == set(known)


async def test_bytes_of_a_volume_that_has_its_row_elsewhere_are_only_put_aside(world: FakeWorld) -> None:
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
    async with working(world, "at-work", no_faults):
        await quiet(world)
    await world.db.write(volumes.place, volume.id, "far@one#a")
    await world.bury(Kind.VOLUME, volume.id, f"{PLACE}#a")
    await repair(world)
    assert (await waiting(world)).keys() == {volume.id}


@pytest.mark.parametrize(
    ("age", "keep", "stays"), [(13, 14.0, True), (15, 14.0, False), (400, 0.0, True), (15, 30.0, True)]
)
async def test_what_nobody_asks_for_is_given_up_after_days(
    tmp_path: Path, age: int, keep: float, stays: bool
) -> None:
    backend = FakeBackend(("a",), directory=tmp_path / "pools")
    await backend.start()
    async with fake_world({PLACE: backend}, keep_unknown_days=keep) as world:
        volume = VolumeId(new_id())
        await backend.create(volume, "a", 1)
        piece = StoredObject("volume", volume, "a")
        await backend.put_aside(piece, aside.name_of(piece, datetime.now(UTC).date() - timedelta(age)))
        await repair(world)
        assert (volume in await waiting(world)) == stays


async def test_what_is_half_made_and_of_nobody_known_is_put_aside_too(world: FakeWorld, tmp_path: Path) -> None:
    stray = new_id()
    part = tmp_path / "pools" / "a" / "volumes" / f".{stray}.0.part"
    part.write_bytes(b"half")
    await repair(world)
    assert not part.exists()
    [name] = (await waiting(world)).values()
    assert (tmp_path / "pools" / "a" / name).read_bytes() == b"half"


async def test_what_an_administrator_put_into_the_pool_is_never_given_up(
    world: FakeWorld, tmp_path: Path
) -> None:
    names = ["orphan-20200101-volume-mine", "orphan-99999999-volume-" + new_id(), "disk.raw"]
    for name in names:
        (tmp_path / "pools" / "a" / name).write_bytes(b"mine")
    await repair(world)
    assert all((tmp_path / "pools" / "a" / name).exists() for name in names)

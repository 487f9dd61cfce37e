"""A volume that is moved stays with its host where it can, and goes to another where that can read it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.backends.fake import FakeBackend
from pumice.backends.targets.contract import Target
from pumice.backends.targets.local import LocalTarget
from pumice.backends.targets.shared import SharedTarget
from pumice.catalog import volume_types
from pumice.loops.heartbeats import Heartbeats
from pumice.model.errors import TryAnotherBackend
from pumice.model.ids import VolumeId
from pumice.model.volume import host_of
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import volumes
from pumice.volumes.retype import retype

ONE, TWO, FAR, FARTHER = f"{HOST}@one", f"{HOST}@two", "there@far", "yonder@farther"


@asynccontextmanager
async def a_volume(
    *others: str, directory: Path | None = None, target: Target | None = None
) -> AsyncIterator[tuple[FakeWorld, VolumeId]]:
    """A volume at ``ONE``, and backends that came after it."""

    def backend(place: str) -> FakeBackend:
        return FakeBackend(("a",), directory=directory and directory / place)

    first = backend(ONE)
    await first.start()
    async with fake_world({ONE: first}) as world:
        async with working(world, "first", no_faults):
            volume = VolumeId(await world.a_volume())
        for place in others:
            world.backends[place] = backend(place)
            await world.backends[place].start()
        world.drivers = replace(world.drivers, targets=dict.fromkeys(world.backends, target or world.target))
        await Heartbeats(world.drivers, HOST, "nova", {}).send()
        yield world, volume
        assert await world.violations() == []


async def moved(world: FakeWorld, volume: VolumeId, fits: str) -> tuple[str, str | None]:
    """Where it is, and how its move ended, after it was given a type that fits these backends alone."""
    make = partial(volume_types.create, name="new", description=None, is_public=True)
    await world.db.write(lambda tx: make(tx, extra_specs={"volume_backend_name": fits}) and None)
    await world.db.write(lambda tx: retype(tx, TENANT, volume, "new", world.tunables, may_move=True))
    async with working(world, "second", no_faults):
        await quiet(world)
    found = await world.db.read(volumes.find, volume)
    assert found is not None
    return host_of(found.pool or ""), found.migration_status


async def test_it_stays_with_its_host_where_it_can() -> None:
    async with a_volume(FAR, TWO, FARTHER) as (world, volume):
        assert await moved(world, volume, "<or> two <or> far <or> farther") == (TWO, "success")


async def test_it_goes_to_another_host_where_its_own_has_nothing_for_it() -> None:
    async with a_volume(TWO, FAR) as (world, volume):
        world.backends[ONE].write(volume, "word")
        assert await moved(world, volume, "far") == (FAR, "success")
        assert world.backends[FAR].contents()[volume] == "word"


async def test_it_stays_where_no_other_host_reads_it() -> None:
    async with a_volume(FAR, target=LocalTarget()) as (world, volume):
        assert await moved(world, volume, "far") == (ONE, "error")


@pytest.mark.parametrize(("full", "other"), [(FAR, FARTHER), (FARTHER, FAR)])
async def test_where_one_host_is_full_the_next_is_taken(full: str, other: str) -> None:
    async with a_volume(FAR, FARTHER) as (world, volume):
        world.backends[ONE].write(volume, "word")
        world.backends[full].fail_next["create"] = TryAnotherBackend("It is full.")
        assert await moved(world, volume, "<or> far <or> farther") == (other, "success")
        assert world.backends[other].contents()[volume] == "word"
        assert await world.target.exports() == {}


async def test_what_both_have_mounted_is_read_as_a_file(tmp_path: Path) -> None:
    shared = SharedTarget({}, options="", base=Path("/mnt"))
    async with a_volume(FAR, directory=tmp_path, target=shared) as (world, volume):
        source = await world.backends[ONE].device(volume, "a")
        with source.open("r+b") as file:
            file.write(b"the first")
        assert await moved(world, volume, "far") == (FAR, "success")
        with (await world.backends[FAR].device(volume, "a")).open("rb") as file:
            assert file.read(9) == b"the first"
        assert not source.exists()

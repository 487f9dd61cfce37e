"""A volume is flattened in the background: what begins it, what goes on beside it, and what ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fake_world import HOST, TENANT, FakeWorld, fake_world
from tests.patience import patience

from pumice.backends.fake import FakeBackend
from pumice.model.ids import VolumeId
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import operations as log
from pumice.store import snapshots, volumes
from pumice.store.database import Transaction
from pumice.volumes import create, delete, extend, flatten, revert
from pumice.volumes.snapshots import create as create_snapshot

PIECES = 4


class InPieces(FakeBackend):
    """A backend of which each call does a quarter; whoever deletes a volume meanwhile would have to wait."""

    def __init__(self) -> None:
        super().__init__(("a", "b"))
        self.calls = dict[str, int]()
        self.go_on = asyncio.Event()

    async def flatten(self, volume: VolumeId, pool: str, seconds: float) -> float:
        """Comes back at once for the first piece, and else when it may go on."""
        if self.calls.get(volume, 0):
            await self.go_on.wait()
        await super().flatten(volume, pool, seconds)
        self.calls[volume] = self.calls.get(volume, 0) + 1
        return min(self.calls[volume] / PIECES, 1.0)


@asynccontextmanager
async def a_world() -> AsyncIterator[tuple[FakeWorld, InPieces]]:
    backend = InPieces()
    async with fake_world({f"{HOST}@one": backend}) as world:
        yield world, backend


async def flattenings(world: FakeWorld, volume: str) -> list[log.Row]:
    def look(tx: Transaction) -> list[log.Row]:
        return list(log.page(tx, states=None, kind="volume.flatten", subject=volume, limit=9))

    return await world.db.read(look)


async def begun(backend: InPieces, volume: str) -> None:
    async with patience():
        while not backend.calls.get(volume):
            await asyncio.sleep(0.005)


async def snapshot_of(world: FakeWorld, volume: str) -> str:
    def work(tx: Transaction) -> str:
        told = {"name": None, "description": None, "metadata": {}, "in_use": False}
        return create_snapshot.accept(tx, TENANT, volume, **told, tunables=world.tunables).id

    return await world.db.write(work)


async def test_a_copy_is_there_at_once_and_is_flattened_afterwards() -> None:
    async with a_world() as (world, backend), working(world, "one", no_faults):
        origin = await world.a_volume()
        assert await flattenings(world, origin) == [], "a new volume is nobody's copy"
        backend.deep = True
        asked = create.Wanted(size=1, source_volid=origin)
        copy = (await world.db.write(create.accept, TENANT, asked, world.tunables)).id
        await begun(backend, copy)
        assert await world.volume_status(copy) == "available"
        backend.go_on.set()
        await quiet(world)
        [told] = await flattenings(world, copy)
        assert (told["state"], told["project_id"]) == ("done", TENANT.project_id)
        assert backend.calls[copy] == PIECES


async def test_a_revert_begins_it_too() -> None:
    async with a_world() as (world, backend), working(world, "one", no_faults):
        backend.go_on.set()
        volume = await world.a_volume()
        snapshot = await snapshot_of(world, volume)
        await quiet(world)
        backend.deep = True
        await world.db.write(revert.accept, TENANT, volume, snapshot)
        await quiet(world)
        assert [row["state"] for row in await flattenings(world, volume)] == ["done"]


async def test_whatever_is_asked_of_the_volume_meanwhile_is_done() -> None:
    async with a_world() as (world, backend), working(world, "one", no_faults):
        volume = await world.a_volume()
        await world.db.write(flatten.accept, TENANT, volume)
        await begun(backend, volume)
        snapshot = await snapshot_of(world, volume)
        copy = await world.a_volume(source_volid=volume)
        await world.db.write(
            lambda tx: extend.accept(tx, TENANT, volume, 2, world.tunables, in_use=False) and None
        )
        async with patience():
            while await world.volume_status(volume) != "available":
                await asyncio.sleep(0.005)
        found = await world.db.read(snapshots.find, snapshot)
        assert found is not None and found.status == "available"
        assert await world.volume_status(copy) == "available"
        backend.go_on.set()
        await quiet(world)
        assert [row["state"] for row in await flattenings(world, volume)] == ["done"]
        assert backend.calls[volume] == PIECES


@pytest.mark.parametrize("why", ["deleted", "moved"])
async def test_it_ends_when_its_volume_is_not_there_any_more(why: str) -> None:
    async with a_world() as (world, backend), working(world, "one", no_faults):
        volume = await world.a_volume()
        await world.db.write(flatten.accept, TENANT, volume)
        await begun(backend, volume)
        if why == "deleted":
            await world.db.write(delete.accept, TENANT, volume)
        else:
            await world.db.write(volumes.place, volume, f"{HOST}@one#b")
        backend.go_on.set()
        async with patience():
            while (await flattenings(world, volume))[0]["state"] != "done":
                await asyncio.sleep(0.005)
        assert backend.calls[volume] < PIECES


async def test_who_was_killed_goes_on_where_it_was_and_there_is_only_one() -> None:
    async with a_world() as (world, backend):
        async with working(world, "one", no_faults):
            volume = await world.a_volume()
            first = await world.db.write(flatten.accept, TENANT, volume)
            assert await world.db.write(flatten.accept, TENANT, volume) == first
            await begun(backend, volume)
        backend.go_on.set()
        async with working(world, "two", no_faults):
            await quiet(world)
        assert [row["state"] for row in await flattenings(world, volume)] == ["done"]
        assert backend.calls[volume] == PIECES, "nothing was done twice"


async def test_it_is_cancelled_in_the_middle() -> None:
    async with a_world() as (world, backend), working(world, "one", no_faults):
        volume = await world.a_volume()
        operation = await world.db.write(flatten.accept, TENANT, volume)
        await begun(backend, volume)
        assert await world.db.write(log.ask_to_cancel, operation)
        await quiet(world)
        assert [row["state"] for row in await flattenings(world, volume)] == ["failed"]
        assert await world.volume_status(volume) == "available" and backend.calls[volume] < PIECES

"""What was placed at a host that died before it began is made elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world
from tests.patience import patience

from pumice.app.verbs import VERBS
from pumice.loops.heartbeats import VOLUME
from pumice.loops.waiting import Waiting
from pumice.model.errors import TryAnotherBackend
from pumice.model.ids import VolumeId
from pumice.model.tunables import RetryPolicy
from pumice.operations.completions import Completions
from pumice.operations.harness import quiet
from pumice.operations.operation import from_row
from pumice.operations.places import SCHEDULER, volume_host
from pumice.operations.runner import Runner
from pumice.operations.state_machine import Stopwatch
from pumice.store import hosts, pools, services, volumes, work_queue
from pumice.store import operations as log
from pumice.store.database import Transaction
from pumice.volumes import create

ONE, TWO = f"{HOST}@one", f"{HOST}@two"


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        yield world


def runner(world: FakeWorld, boot: str, *places: str) -> Runner:
    tunables = replace(world.tunables, retry_policy=RetryPolicy(first=0.001))
    return Runner(world.db, VERBS, world.drivers, host=HOST, boot=boot, places=places, tunables=tunables)


async def placed(world: FakeWorld) -> tuple[str, str]:
    """A create for which a pool was chosen, and nothing else; the operation and the backend."""
    asked = create.Wanted(size=1)
    volume = await world.db.write(create.accept, TENANT, asked, world.tunables)
    state_machine = runner(world, "scheduler", SCHEDULER).state_machine
    claimed = work_queue.Asked([SCHEDULER], state_machine.owner)
    [row], _ = await world.db.write(work_queue.claim, claimed, 1e12, 30.0, 1)
    op = await world.db.write(state_machine.advance, from_row(create.CREATE, row), None)
    assert op.steps[op.position] == "make_bytes"
    return volume.id, op.place.removeprefix("volume:")


async def test_a_create_at_a_host_that_died_before_it_began_is_made_elsewhere(world: FakeWorld) -> None:
    volume, dead = await placed(world)
    other = TWO if dead == ONE else ONE
    verbs = {verb.kind: verb for verb in VERBS}
    waiting = Waiting(world.db, verbs, world.tunables)
    assert await waiting.check() == 0, "its service is up"
    await world.db.write(services.silence, [(VOLUME, dead)])
    assert await waiting.check() == 1
    worker = asyncio.create_task(runner(world, "others", SCHEDULER, volume_host(other)).run())
    await quiet(world)
    worker.cancel()
    await asyncio.wait([worker])
    made = await world.db.read(volumes.find, volume)
    assert made is not None
    assert (made.status, (made.pool or "").partition("#")[0]) == ("available", other)


async def test_where_there_is_no_other_it_goes_on_waiting(world: FakeWorld) -> None:
    volume, dead = await placed(world)
    before = await world.db.read(pools.every)
    await world.db.write(services.silence, [(VOLUME, ONE), (VOLUME, TWO)])
    assert await Waiting(world.db, {verb.kind: verb for verb in VERBS}, world.tunables).check() == 0
    assert await world.db.read(pools.every) == before, "what was tried is taken back"
    made = await world.db.read(volumes.find, volume)
    assert made is not None
    assert (made.status, (made.pool or "").partition("#")[0]) == ("creating", dead)


async def test_a_clone_waits_for_the_host_of_its_source_and_for_no_other(world: FakeWorld) -> None:
    home, source = await sourced(world)
    await world.db.write(services.silence, [(VOLUME, home)])
    waiting = Waiting(world.db, {verb.kind: verb for verb in VERBS}, world.tunables)
    async with at_work(world, SCHEDULER):
        clone = await cloned(world, source)
        await becomes(world, clone, home)
        assert await waiting.check() == 0, "no other has its source"
    async with at_work(world, volume_host(home)):
        await quiet(world)
    made = await world.db.read(volumes.find, clone)
    assert made is not None
    assert (made.status, (made.pool or "").partition("#")[0]) == ("available", home)


async def test_a_clone_does_not_wait_for_a_host_that_is_said_to_be_down_or_disabled(world: FakeWorld) -> None:
    home, source = await sourced(world)
    await world.db.write(services.silence, [(VOLUME, home)])
    for give_up in (
        lambda tx: hosts.force_down(tx, VOLUME, home, True),
        lambda tx: services.set_disabled(tx, VOLUME, home, True, "being repaired", "root"),
    ):
        await world.db.write(give_up)
        clone = await cloned(world, source)
        async with at_work(world, SCHEDULER):
            await quiet(world)
        made = await world.db.read(volumes.find, clone)
        assert made is not None
        assert made.status == "error"
        await world.db.write(hosts.force_down, VOLUME, home, False)


async def sourced(world: FakeWorld) -> tuple[str, VolumeId]:
    """A volume that is there, and its backend."""
    source, home = await placed(world)
    async with at_work(world, volume_host(home)):
        await quiet(world)
    return home, VolumeId(source)


async def cloned(world: FakeWorld, source: VolumeId) -> VolumeId:
    asked = create.Wanted(source_volid=source)
    return (await world.db.write(create.accept, TENANT, asked, world.tunables)).id


async def becomes(world: FakeWorld, volume: VolumeId, home: str) -> None:
    """Wait until a volume that is being made has a place at this backend."""
    async with patience():
        while (found := await world.db.read(volumes.find, volume)) is None or found.pool is None:
            assert found is not None
            assert found.status == "creating"
            await asyncio.sleep(0.01)
    assert (found.status, found.pool.partition("#")[0]) == ("creating", home)


@asynccontextmanager
async def at_work(world: FakeWorld, *places: str) -> AsyncIterator[None]:
    worker = asyncio.create_task(runner(world, "at-work", *places).run())
    try:
        yield
    finally:
        worker.cancel()
        await asyncio.wait([worker])


async def test_what_somebody_began_is_not_taken_back(world: FakeWorld) -> None:
    _, dead = await placed(world)
    await world.db.write(services.silence, [(VOLUME, dead)])

    def begin_and_die(tx: Transaction) -> None:
        [row], _ = work_queue.claim(tx, work_queue.Asked([volume_host(dead)], "dead:1"), 1e12, 30.0, 1)
        work_queue.release(tx, row["id"], row["attempt"], 0.0)

    await world.db.write(begin_and_die)
    assert await Waiting(world.db, {verb.kind: verb for verb in VERBS}, world.tunables).check() == 0


async def test_what_its_own_scheduler_went_on_with_is_not_taken_back(world: FakeWorld) -> None:
    """One process of all roles chooses a pool, goes on there in the same claim, and dies."""
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
    dies = runner(world, "dies", SCHEDULER, volume_host(ONE), volume_host(TWO))
    state_machine = dies.state_machine
    claimed = work_queue.Asked([SCHEDULER], state_machine.owner)
    [row], _ = await world.db.write(work_queue.claim, claimed, 1e12, 30.0, 1)
    dies.leases.take(row, time.monotonic())
    op = await world.db.write(state_machine.advance, from_row(create.CREATE, row), None)
    assert (op.subject, op.owner) == (volume.id, state_machine.owner)
    await world.db.write(work_queue.release_from, state_machine.owner)
    await world.db.write(services.silence, [(VOLUME, op.place.removeprefix("volume:"))])
    assert await Waiting(world.db, {verb.kind: verb for verb in VERBS}, world.tunables).check() == 0


async def test_what_turned_back_at_a_dead_host_chooses_again_and_is_cleaned_later(
    world: FakeWorld,
) -> None:
    volume, dead = await placed(world)
    other = TWO if dead == ONE else ONE
    state_machine = runner(world, "dies", volume_host(dead)).state_machine
    claimed = work_queue.Asked([volume_host(dead)], state_machine.owner)
    [row], _ = await world.db.write(work_queue.claim, claimed, 1e12, 30.0, 1)
    op = from_row(create.CREATE, row)
    line = Stopwatch(op, "make_bytes").record()
    op = await world.db.write(state_machine.turn_back, op, line, TryAnotherBackend("It is read-only."))
    assert (op.state, op.owner) == ("undoing", state_machine.owner)
    waiting = Waiting(world.db, {verb.kind: verb for verb in VERBS}, world.tunables)
    await world.db.write(work_queue.release_from, state_machine.owner)
    assert await waiting.check() == 0, "its service is up"
    await world.db.write(services.silence, [(VOLUME, dead)])
    assert await waiting.check() == 1
    worker = asyncio.create_task(runner(world, "others", SCHEDULER, volume_host(other)).run())
    assert await Completions(world.db).wait(op.id, 5) == (True, None)
    worker.cancel()
    await asyncio.wait([worker])
    made = await world.db.read(volumes.find, volume)
    assert made is not None
    assert (made.status, (made.pool or "").partition("#")[0]) == ("available", other)
    left = await world.db.read(log.page, states=("undoing",), kind=None, subject=volume, limit=5)
    assert [(one["place"], one["settled"]) for one in left] == [(volume_host(dead), True)]


async def test_one_that_cannot_be_read_stops_no_other(world: FakeWorld) -> None:
    await placed(world)
    volume, dead = await placed(world)
    torn = sa.text("UPDATE operations SET params = '{torn' WHERE subject != :id")
    await world.db.write(lambda tx: tx.execute(torn, {"id": volume}) and None)
    await world.db.write(services.silence, [(VOLUME, dead)])
    waiting = Waiting(world.db, {verb.kind: verb for verb in VERBS}, world.tunables)
    assert await waiting.check() == 1

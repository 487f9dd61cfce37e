"""A driver that answers is up; one that is silent, hangs or stops is down; none drags another along."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fake_world import HOST, FakeWorld, fake_world
from tests.patience import PATIENCE, patience

from pumice.backends.backups.chunked import ChunkedBackups
from pumice.backends.backups.contract import POSIX
from pumice.backends.backups.posix import PosixObjects
from pumice.host import bulkhead
from pumice.host.thread import MOST, to_the_end
from pumice.loops.heartbeats import BACKUP, COMPUTE, SCHEDULER, VOLUME, Heartbeats
from pumice.model.errors import Retryable
from pumice.operations.places import compute_host, volume_host
from pumice.store import hosts, pools, services
from pumice.store.columns import now

ONE, TWO = (VOLUME, f"{HOST}@one"), (VOLUME, f"{HOST}@two")
ALL = {ONE, TWO, (BACKUP, HOST), (COMPUTE, HOST), (SCHEDULER, HOST)}


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    """A world whose services were silenced after their first heartbeat."""
    async with fake_world() as world:
        await hearts_of(world).fall_silent()
        yield world


def hearts_of(world: FakeWorld, timeout: float = PATIENCE, **zones: str) -> Heartbeats:
    places = {f"{HOST}@{name}": zone for name, zone in zones.items()}
    return Heartbeats(world.drivers, HOST, "nova", places, timeout=timeout)


async def up(world: FakeWorld) -> set[tuple[str, str]]:
    rows = await world.db.read(services.every)
    return {(row["binary"], row["host"]) for row in rows if services.is_up(row, 60)}


async def test_a_process_that_stops_is_down_at_once_and_its_next_beat_brings_it_up(world: FakeWorld) -> None:
    assert await up(world) == set()
    await hearts_of(world).send()
    assert await up(world) == ALL


async def test_when_one_has_stopped_is_told_as_it_was(world: FakeWorld) -> None:
    for row in await world.db.read(services.every):
        assert timedelta() <= now() - services.heard_at(row) < timedelta(seconds=PATIENCE)
    host = await world.db.read(hosts.find, HOST)
    assert host and host.heard_at and host.heard_at.year == now().year


async def test_a_backend_that_does_not_answer_is_down_and_the_others_are_up(world: FakeWorld) -> None:
    world.backends[f"{HOST}@one"].fail_next["pools"] = Retryable("The disk is gone.")
    await hearts_of(world).send()
    assert await up(world) == ALL - {ONE}
    await hearts_of(world).send()
    assert await up(world) == ALL


async def test_a_backend_with_a_bug_is_down_and_the_others_are_up(world: FakeWorld) -> None:
    world.backends[f"{HOST}@one"].fail_next["pools"] = ZeroDivisionError("a bug")
    await hearts_of(world).send()
    assert await up(world) == ALL - {ONE}


async def test_a_backend_that_hangs_is_down_and_the_others_are_up(world: FakeWorld) -> None:
    world.backends[f"{HOST}@one"].delay = 3600
    await hearts_of(world, timeout=1.0).send()
    assert await up(world) == ALL - {ONE}


async def test_a_hypervisor_that_does_not_answer_is_down_and_the_others_are_up(world: FakeWorld) -> None:
    world.machines.fail_next["connector"] = Retryable("libvirtd is gone.")
    await hearts_of(world).send()
    assert await up(world) == ALL - {(COMPUTE, HOST)}


async def test_a_hypervisor_that_hangs_is_down_and_the_others_are_up(world: FakeWorld) -> None:
    world.machines.delay = 3600
    await hearts_of(world, timeout=1.0).send()
    assert await up(world) == ALL - {(COMPUTE, HOST)}


async def test_a_place_where_too_much_hangs_is_down_until_enough_of_it_is_back(
    world: FakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulkhead, "CUT_SECONDS", 0.01)
    free = asyncio.Event()

    async def hang(number: int) -> None:
        at = world.drivers.bulkheads.at(volume_host(f"{HOST}@one"))
        with contextlib.suppress(TimeoutError):
            waiting = asyncio.ensure_future(free.wait())
            soon_over = asyncio.timeout(0.01)  # noqa: TID251 - it is to end there
            await at.call(f"call {number}", lambda: to_the_end(waiting), soon_over)

    for number in range(MOST // 2):
        await hang(number)
    await hearts_of(world).send()
    assert await up(world) == ALL - {ONE}
    free.set()
    async with patience():
        while list(world.drivers.bulkheads.left):
            await asyncio.sleep(0.01)
    await hearts_of(world).send()
    assert await up(world) == ALL


async def test_a_store_of_backups_that_is_not_mounted_makes_its_service_down(world: FakeWorld) -> None:
    store = ChunkedBackups(PosixObjects(Path("/nowhere")), driver="posix", service=POSIX)
    world.drivers = replace(world.drivers, backups=store)
    await hearts_of(world).send()
    assert await up(world) == ALL - {(BACKUP, HOST)}


async def test_pools_of_a_silent_backend_are_not_offered(world: FakeWorld) -> None:
    world.backends[f"{HOST}@one"].fail_next["pools"] = Retryable("The disk is gone.")
    await hearts_of(world).send()
    assert [pool.name for pool in await world.db.write(pools.alive, 60)] == [f"{HOST}@two#b"]


async def test_a_backend_may_be_in_a_zone_of_its_own(world: FakeWorld) -> None:
    await hearts_of(world, one="east").send()
    zones = {pool.host: pool.availability_zone for pool in await world.db.read(pools.every)}
    assert zones == {f"{HOST}@one": "east", f"{HOST}@two": "nova"}


async def test_a_place_that_opens_is_up_at_once_though_its_driver_is_slow(world: FakeWorld) -> None:
    world.backends[f"{HOST}@one"].delay = 1.1  # longer than a heartbeat waits for the prompt
    hearts = hearts_of(world, timeout=5)
    hearts.closed |= {volume_host(f"{HOST}@one"), volume_host(f"{HOST}@two"), compute_host(HOST)}
    await hearts.introduce(volume_host(f"{HOST}@one"))
    assert await up(world) == {ONE}
    assert hearts.closed == {volume_host(f"{HOST}@two"), compute_host(HOST)}


async def test_a_driver_that_hangs_delays_no_other(world: FakeWorld) -> None:
    world.backends[f"{HOST}@one"].delay = 3600
    hearts = hearts_of(world, timeout=10)
    beating = asyncio.create_task(hearts.send())
    async with patience():
        while await up(world) != ALL - {ONE}:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not beating.done(), "the others were told of when it was given up"
    beating.cancel()

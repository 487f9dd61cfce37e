"""Creates that are carried out: which pool each goes to, in a real database, with backends that may fail."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.backends.fake import FakeBackend
from pumice.loops.heartbeats import VOLUME, Heartbeats
from pumice.model.errors import ImageRefused, TryAnotherBackend
from pumice.model.tunables import UNLIMITED, Tunables
from pumice.model.volume import Volume
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import messages, operations, pools, services, volumes
from pumice.store.database import Transaction
from pumice.volumes import create, delete

ENDLESS = {"volumes": UNLIMITED, "gigabytes": UNLIMITED, "per_volume_gigabytes": UNLIMITED}


@asynccontextmanager
async def world_of(*, max_attempts: int = 3, **capacities: float) -> AsyncIterator[FakeWorld]:
    """A world at work, with a backend for each capacity (GiB; twenty times as much may be promised)."""
    backends = {f"{HOST}@{name}": FakeBackend(("pool",), capacity_gb=size) for name, size in capacities.items()}
    tunables = Tunables(quotas=ENDLESS, scheduler_max_attempts=max_attempts)
    async with fake_world(backends, tunables) as world, working(world, "at-work", no_faults):
        yield world


async def ask(world: FakeWorld, size: int = 1) -> str:
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=size), world.tunables)
    return volume.id


async def made(world: FakeWorld, size: int = 1) -> Volume:
    """A volume as it is once its create has ended."""
    volume_id = await ask(world, size)
    await quiet(world)
    volume = await world.db.read(volumes.find, volume_id)
    assert volume is not None
    return volume


async def told(world: FakeWorld) -> list[str]:
    return [row["text"] for row in await world.db.read(messages.visible, TENANT)]


async def told_to_operators(world: FakeWorld) -> str:
    """What the operation that failed last says of its last failed step."""

    def work(tx: Transaction) -> str:
        [newest] = operations.page(tx, states=("failed",), kind=None, subject=None, limit=1)
        return str(next(line["error"] for line in operations.lines(tx, newest["id"]) if line["error"]))

    return await world.db.read(work)


async def claimed(world: FakeWorld) -> dict[str, int]:
    return {pool.name: pool.claimed_gb for pool in await world.db.read(pools.every)}


# --- a burst ------------------------------------------------------------------------------------


async def test_a_burst_of_creates_fills_every_pool_to_the_brim_and_no_further() -> None:
    async with world_of(one=0.5, two=0.5) as world:
        ids = await asyncio.gather(*(ask(world) for _ in range(30)))
        await quiet(world)
        statuses = Counter([await world.volume_status(volume_id) for volume_id in ids])
        assert statuses == {"available": 20, "error": 10}
        assert await claimed(world) == {"here@one#pool": 10, "here@two#pool": 10}
        assert len(await told(world)) == 10
        assert all("no pool has room for 1 GiB" in text for text in await told(world))
        assert not await world.violations()


async def test_creates_and_deletes_at_once_never_overfill_a_pool_and_leave_it_empty() -> None:
    async with world_of(one=0.5) as world:
        backend = world.backends["here@one"]
        backend.delay = 0.002
        for _ in range(4):
            ids = await asyncio.gather(*(ask(world, 2) for _ in range(8)))
            assert (await claimed(world))["here@one#pool"] <= 10
            await quiet(world)
            assert (await claimed(world))["here@one#pool"] == 10
            await asyncio.gather(*(world.db.write(delete.accept, TENANT, volume_id) for volume_id in ids))
            await quiet(world)
        assert await claimed(world) == {"here@one#pool": 0}
        assert not await world.violations()


# --- backends that fail -------------------------------------------------------------------------


async def test_a_backend_that_fails_is_left_out_and_the_next_best_takes_the_volume() -> None:
    async with world_of(best=100, next=50) as world:
        world.backends["here@best"].fail_next["create"] = TryAnotherBackend("The disk is broken.")
        volume = await made(world)
        assert (volume.status, volume.pool) == ("available", "here@next#pool")
        assert await claimed(world) == {"here@best#pool": 0, "here@next#pool": 1}
        assert not await told(world)
        assert not await world.violations()


async def test_as_many_backends_are_tried_as_the_rules_allow_and_the_tenant_is_told() -> None:
    async with world_of(max_attempts=2, a=100, b=90, c=80) as world:
        for name in ("a", "b"):
            world.backends[f"here@{name}"].fail_next["create"] = TryAnotherBackend(
                f"The disk of {name} is broken."
            )
        assert (await made(world)).status == "error"
        assert await told(world) == ["The disk of b is broken. 2 backends were tried, and no more are allowed."]
        assert await claimed(world) == dict.fromkeys(("here@a#pool", "here@b#pool", "here@c#pool"), 0)
        assert not await world.violations()


async def test_one_attempt_means_one_backend() -> None:
    async with world_of(max_attempts=1, a=100, b=90) as world:
        world.backends["here@a"].fail_next["create"] = TryAnotherBackend("The disk is broken.")
        assert (await made(world)).status == "error"


async def test_when_every_backend_has_failed_the_tenant_reads_why() -> None:
    async with world_of(max_attempts=9, a=100, b=90) as world:
        for backend in world.backends.values():
            backend.fail_next["create"] = TryAnotherBackend("The disk is broken.")
        assert (await made(world)).status == "error"
        [text] = await told(world)
        assert text.startswith(
            "The disk is broken. No valid backend was found: every pool that suits it was tried"
        )


async def test_what_is_the_fault_of_the_request_is_not_tried_elsewhere() -> None:
    async with world_of(a=100, b=90) as world:
        world.backends["here@a"].fail_next["create"] = ImageRefused("The image is malformed.")
        assert (await made(world)).status == "error"
        assert await told(world) == ["The image is malformed."]


# --- services -----------------------------------------------------------------------------------


async def test_a_backend_whose_service_is_disabled_gets_no_volume() -> None:
    async with world_of(best=100, next=50) as world:
        await world.db.write(services.set_disabled, VOLUME, "here@best", True, "being repaired", "ann (3)")
        assert (await made(world)).pool == "here@next#pool"
        await world.db.write(services.set_disabled, VOLUME, "here@best", False, None, "ann (3)")
        assert (await made(world)).pool == "here@best#pool"


async def test_a_backend_whose_service_is_down_gets_no_volume() -> None:
    async with world_of(best=100, next=50) as world:
        await world.db.write(services.silence, [(VOLUME, "here@best")])
        assert (await made(world)).pool == "here@next#pool"


async def test_with_every_service_down_a_create_ends_in_an_explained_error() -> None:
    async with world_of(only=100) as world:
        await world.db.write(services.silence, [(VOLUME, "here@only")])
        assert (await made(world)).status == "error"
        assert await told(world) == ["No valid backend was found: every volume service is down or disabled."]
        assert "here@only was not heard from since" in await told_to_operators(world)
        await world.db.write(services.set_disabled, VOLUME, "here@only", True, "being repaired", "ann (3)")
        assert (await made(world)).status == "error"
        assert "here@only is disabled by ann (3): being repaired" in await told_to_operators(world)


async def test_a_report_of_a_backend_leaves_the_claims_in_its_pools_alone() -> None:
    async with world_of(only=100) as world:
        await made(world, 7)
        await Heartbeats(world.drivers, HOST, "nova", {}).send()
        assert await claimed(world) == {"here@only#pool": 7}


async def test_a_pool_that_comes_back_is_as_full_as_it_was() -> None:
    async with world_of(only=100) as world:
        await made(world, 7)
        await world.db.write(pools.report, {"here@only": []})
        assert await claimed(world) == {}
        await Heartbeats(world.drivers, HOST, "nova", {}).send()
        assert await claimed(world) == {"here@only#pool": 7}

"""Volumes of one image are clones of one base, which is nobody's; what an image was is not served later."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.backends.contract import ImageFile, Progress
from pumice.backends.fake import FakeBackend
from pumice.loops import audit, rows
from pumice.loops.image_cache import ImageCache
from pumice.model.errors import InvalidState, NotFound, TryAnotherBackend
from pumice.model.ids import VolumeId
from pumice.model.image_base import ImageBase
from pumice.model.scope import INTERNAL
from pumice.model.states import ImageBaseStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume
from pumice.operations.harness import eventually, quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import image_bases, images, pools, quotas, tables, volumes
from pumice.store import operations as log
from pumice.volumes import create, delete
from pumice.volumes.bases import evict

CACHING = Tunables(image_cache=True, quotas={**Tunables().quotas, "volumes": -1, "gigabytes": -1})
POOL = f"{HOST}@one#a"
LONG_AGO = datetime(2020, 1, 1)


class Counting(FakeBackend):
    """Counts what it makes of images, and what it clones."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.converted = 0
        self.cloned = 0

    async def create_from_image(
        self, volume: VolumeId, pool: str, size: int, image: ImageFile, progress: Progress
    ) -> None:
        self.converted += 1
        await asyncio.sleep(0.05)  # so that the others come meanwhile
        await super().create_from_image(volume, pool, size, image, progress)

    async def create_from_volume(self, *args: Any) -> None:
        self.cloned += 1
        await super().create_from_volume(*args)


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with caching() as world:
        yield world


def caching(tunables: Tunables = CACHING, **more: Any) -> Any:
    return fake_world({f"{HOST}@one": Counting(("a",), **more)}, tunables)


def one(world: FakeWorld) -> Counting:
    backend = world.backends[f"{HOST}@one"]
    assert isinstance(backend, Counting)
    return backend


async def asks(world: FakeWorld, image_id: str, number: int = 1, **wanted: Any) -> list[Volume]:
    """Ask for volumes of an image, all at once."""
    asked = create.Wanted(**{"size": 2, "image_id": image_id, **wanted})
    accepting = (world.db.write(create.accept, TENANT, asked, world.tunables) for _ in range(number))
    return list(await asyncio.gather(*accepting))


async def made(world: FakeWorld, image_id: str, number: int = 1, **wanted: Any) -> list[Volume]:
    """Volumes of an image, all at once, once nothing is under way any more."""
    asked = await asks(world, image_id, number, **wanted)
    async with working(world, "worker", no_faults):
        await quiet(world)
    found = [await world.db.read(volumes.find, each.id) for each in asked]
    return [each for each in found if each]


async def bases(world: FakeWorld) -> list[ImageBase]:
    return list(await world.db.read(image_bases.every))


async def swept(world: FakeWorld) -> int:
    """Let the loop look once, and wait for what it has begun."""
    begun = await ImageCache(world.db, world.tunables).sweep()
    async with working(world, "sweeper", no_faults):
        await quiet(world)
    return begun


async def told(world: FakeWorld, volume_id: str) -> list[str]:
    """What its owner was told of a volume."""
    m = tables.messages.c
    query = sa.select(m.text).where(m.resource_id == volume_id)
    return await world.db.read(lambda tx: list(tx.execute(query).scalars()))


async def write(world: FakeWorld, image_id: str, **values: Any) -> None:
    change = tables.images.update().where(tables.images.c.id == image_id).values(**values)
    await world.db.write(lambda tx: tx.execute(change) and None)


async def test_twenty_at_once_are_clones_of_one_base(world: FakeWorld) -> None:
    image = await world.an_image()
    twenty = await made(world, image, 20)
    assert {volume.status for volume in twenty} == {"available"}
    [base] = await bases(world)
    assert (base.status, base.uses, base.size, base.image_id) == ("available", 20, 1, image)
    assert (one(world).converted, one(world).cloned) == (1, 20)
    assert {one(world).contents()[volume.id] for volume in twenty} == {image}
    assert await world.violations() == []


async def test_a_base_counts_in_its_pool_and_in_no_project(world: FakeWorld) -> None:
    await made(world, await world.an_image(), 3)
    pool = await world.db.read(pools.find, POOL)
    assert pool is not None
    assert (pool.claimed_gb, pool.volumes) == (3 * 2 + 1, 3)
    used = await world.db.read(lambda tx: quotas.usage_by_rows(tx, None))
    assert {project for project, _ in used} == {TENANT.project}
    assert used[TENANT.project, "gigabytes"] == 6


async def test_a_base_is_no_volume_to_anybody(world: FakeWorld) -> None:
    [volume] = await made(world, await world.an_image())
    listed = await world.db.read(
        lambda tx: volumes.page(tx, INTERNAL, limit=9, marker=None, sort=[("id", True)], all_projects=True)
    )
    assert [each.id for each in listed] == [volume.id]
    [base] = await bases(world)
    with pytest.raises(NotFound):
        await world.db.read(volumes.get, INTERNAL, base.id)
    with pytest.raises(NotFound):
        await world.db.write(create.accept, TENANT, create.Wanted(source_volid=base.id), world.tunables)


async def test_where_it_is_switched_off_each_is_made_of_the_image_and_bases_go(world: FakeWorld) -> None:
    image = await world.an_image()
    await made(world, image)
    world.tunables = replace(world.tunables, image_cache=False)
    assert await swept(world) == 1
    assert await bases(world) == []
    await made(world, image, 2)
    assert await bases(world) == []
    assert one(world).converted == 3


@pytest.mark.parametrize("how", ["shares", "copies", None])
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
async def test_bases_are_where_they_are_of_use(how: str | None, disk_format: str, world: FakeWorld) -> None:
    """A copy of a base is no quicker than a copy of a raw image."""
    image = await world.an_image()
    if disk_format == "qcow2":
        qcow2 = world.directory / "image.qcow2"
        making = await asyncio.create_subprocess_exec("qemu-img", "create", "-q", "-f", "qcow2", qcow2, "1M")
        assert await making.wait() == 0
        world.image_path(image).write_bytes(qcow2.read_bytes())
        await write(world, image, disk_format="qcow2")
    pool = tables.pools.update().values(capabilities={"image_cache": how} if how else {})
    await world.db.write(lambda tx: tx.execute(pool) and None)
    [volume] = await made(world, image)
    assert volume.status == "available"
    assert bool(await bases(world)) == (how == "shares" or (how == "copies" and disk_format == "qcow2"))


# --- what must never be served --------------------------------------------------------------------------


async def vanishes(world: FakeWorld, image_id: str) -> None:
    await world.db.write(images.delete, TENANT, image_id)


async def is_deactivated(world: FakeWorld, image_id: str) -> None:
    await write(world, image_id, status="deactivated")


async def is_replaced(world: FakeWorld, image_id: str) -> None:
    """Deleted, and made anew of other bytes under the same id, which a client may choose."""
    await write(world, image_id, checksum="1" * 32)


LOSSES = {vanishes: "deleted", is_deactivated: "deactivated"}


@pytest.mark.parametrize("lose", LOSSES)
async def test_an_image_that_is_not_given_out_any_more_is_not_served_of_its_base(
    lose: Callable[[FakeWorld, str], Awaitable[None]], world: FakeWorld
) -> None:
    """Also where that happens after the request was answered."""
    image = await world.an_image()
    await made(world, image)
    asked = await asks(world, image, 2)
    one(world).free.clear()
    async with working(world, "worker", no_faults):
        await lose(world, image)
        one(world).free.set()
        await quiet(world)
    for volume in asked:
        found = await world.db.read(volumes.find, volume.id)
        assert found is not None
        if found.status == "available":
            continue  # it was cloned before
        assert found.status == "error"
        [text] = await told(world, volume.id)
        assert LOSSES[lose] in text
    with pytest.raises((NotFound, Exception), match=r"could not be found|not active"):
        await asks(world, image)
    assert await swept(world) == 1
    assert await bases(world) == []
    assert await world.violations() == []


async def test_an_image_that_was_replaced_has_another_base(world: FakeWorld) -> None:
    image = await world.an_image()
    await made(world, image)
    [old] = await bases(world)
    await is_replaced(world, image)
    await made(world, image, 2)
    assert one(world).cloned == 1, "of the old base once, before it was replaced"
    await swept(world)
    await made(world, image)
    [new] = await bases(world)
    assert new.id != old.id
    assert new.content.endswith("1" * 32)


async def test_another_project_must_see_the_image_by_itself(world: FakeWorld) -> None:
    image = await world.an_image()
    await made(world, image)
    other = replace(TENANT, project_id="other", user_id="other")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        await world.db.write(create.accept, other, create.Wanted(size=1, image_id=image), world.tunables)


# --- trouble --------------------------------------------------------------------------------------------


async def test_bytes_that_are_gone_cost_one_volume_one_more_try(world: FakeWorld) -> None:
    image = await world.an_image()
    await made(world, image)
    [base] = await bases(world)
    await one(world).delete(base.id, "a")
    assert await world.violations() == [], "nobody misses a base"
    [volume] = await made(world, image)
    assert volume.status == "available"
    assert one(world).contents()[volume.id] == image
    assert [each.status for each in await bases(world)] == ["error"]
    [volume] = await made(world, image)
    assert volume.status == "available"


async def test_a_base_that_cannot_be_made_fails_nobody(world: FakeWorld) -> None:
    image = await world.an_image()
    one(world).fail_next["create_from_image"] = TryAnotherBackend("The pool is full.")
    several = await made(world, image, 5)
    assert {volume.status for volume in several} == {"available"}
    assert [base.status for base in await bases(world)] == ["error"]
    assert one(world).cloned == 0
    assert [text for each in several for text in await told(world, each.id)] == []
    assert await world.violations() == []
    assert await swept(world) == 0, "not tried again at once"
    old = tables.image_bases.update().values(updated_at=LONG_AGO)
    await world.db.write(lambda tx: tx.execute(old) and None)
    assert await swept(world) == 1
    await made(world, image)
    assert [base.status for base in await bases(world)] == ["available"]


async def test_a_volume_is_made_although_its_base_was_cancelled(world: FakeWorld) -> None:
    image = await world.an_image()
    one(world).free.clear()
    [asked] = await asks(world, image)
    async with working(world, "worker", no_faults):

        async def begun() -> str | None:
            return next((base.operation_id for base in await bases(world)), None)

        making = await eventually(world.db, begun)
        assert await world.db.write(log.ask_to_cancel, making)
        one(world).free.set()
        await quiet(world)
    assert await world.volume_status(asked.id) == "available"
    assert await world.violations() == []


async def test_whoever_waits_for_a_base_is_not_said_to_wait_in_vain(world: FakeWorld) -> None:
    image = await world.an_image()
    one(world).free.clear()
    await asks(world, image, 5)
    async with working(world, "worker", no_faults):

        async def waiting() -> bool | None:
            found = await world.db.read(log.page, states=("waiting",), kind=None, subject=None, limit=9)
            return len(found) == 5 or None

        await eventually(world.db, waiting)
        assert await rows.check(world.drivers) == []
        one(world).free.set()
        await quiet(world)


async def test_a_base_that_nobody_makes_any_more_is_let_go(world: FakeWorld) -> None:
    """As after a restored database, or a hand in it."""
    await made(world, await world.an_image())
    lost = tables.image_bases.update().values(status=ImageBaseStatus.CREATING, operation_id="nobody")
    await world.db.write(lambda tx: tx.execute(lost) and None)
    assert await rows.check(world.drivers)
    await audit.repair(world.drivers, print)
    async with working(world, "worker", no_faults):
        await quiet(world)
    assert await bases(world) == []
    assert await world.violations() == []


# --- eviction -------------------------------------------------------------------------------------------


async def test_a_base_that_is_being_cloned_stays(world: FakeWorld) -> None:
    image = await world.an_image()
    await made(world, image)
    [base] = await bases(world)
    [asked] = await asks(world, image)
    async with working(world, "worker", no_faults):
        one(world).free.clear()

        async def cloning() -> bool | None:
            found = await world.db.read(
                log.page, states=("running",), kind="volume.create", subject=None, limit=9
            )
            return any(row["steps"][row["position"]] == "make_bytes" for row in found) or None

        await eventually(world.db, cloning)
        if await world.volume_status(asked.id) == "creating":
            with pytest.raises(InvalidState, match=r"volume\.create"):
                await world.db.write(evict.accept, base.id)
        one(world).free.set()
        await quiet(world)
    assert await world.volume_status(asked.id) == "available"


async def test_eviction_beside_twenty_creates_costs_nobody_anything(world: FakeWorld) -> None:
    image = await world.an_image()
    await made(world, image)
    asked = await asks(world, image, 20)
    async with working(world, "worker", no_faults):
        for _ in range(50):
            for base in await bases(world):
                with suppress(InvalidState, NotFound):
                    await world.db.write(evict.accept, base.id)
            await asyncio.sleep(0.01)
        await quiet(world)
    assert {await world.volume_status(each.id) for each in asked} == {"available"}
    assert await world.violations() == []


async def test_what_was_used_least_recently_goes_first(world: FakeWorld) -> None:
    several = [await world.an_image() for _ in range(4)]
    for image in several:
        await made(world, image)
    await made(world, several[0])
    world.tunables = replace(world.tunables, image_cache_images=2)
    assert await swept(world) == 2
    assert {base.image_id for base in await bases(world)} == {several[0], several[3]}
    world.tunables = replace(world.tunables, image_cache_images=9, image_cache_gigabytes=1)
    assert await swept(world) == 1
    assert [base.image_id for base in await bases(world)] == [several[0]]
    assert await world.violations() == []


async def test_bases_make_room_for_what_a_tenant_asks_for() -> None:
    """And no more than is needed."""
    async with caching(capacity_gb=8) as world:
        ratio = tables.pools.update().values(max_over_subscription_ratio=1.0)
        await world.db.write(lambda tx: tx.execute(ratio) and None)
        several = [await world.an_image() for _ in range(3)]
        gone = [(await made(world, image, size=1))[0] for image in several]
        async with working(world, "worker", no_faults):
            for volume in gone:
                await world.db.write(delete.accept, TENANT, volume.id)
            await quiet(world)
        assert len(await bases(world)) == 3
        [volume] = await made(world, several[2], size=6)
        assert volume.status == "available"
        assert {base.image_id for base in await bases(world)} == {several[1], several[2]}
        [volume] = await made(world, several[2], size=9)
        assert volume.status == "error", "what fits nowhere evicts nothing"
        assert len(await bases(world)) == 2
        assert await world.violations() == []


async def test_no_base_is_made_where_there_is_no_room_for_it() -> None:
    async with caching(capacity_gb=2) as world:
        [volume] = await made(world, await world.an_image(), size=2)
        assert volume.status == "available"
        assert await bases(world) == []

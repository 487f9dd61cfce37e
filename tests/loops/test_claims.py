"""What is claimed of a pool is claimed once and given back once, whoever does it and how often."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.loops.audit import repair
from pumice.loops.deadlines import Deadlines
from pumice.model.scope import INTERNAL
from pumice.operations.harness import quiet, working
from pumice.operations.operation import from_row
from pumice.operations.state_machine import no_faults
from pumice.store import operations, pools, tables
from pumice.store.database import Transaction
from pumice.volumes import create, delete, extend, manage

POOL = f"{HOST}@one#a"


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        yield world


async def claimed(world: FakeWorld) -> tuple[int, int]:
    """GiB and volumes of all pools."""
    found = await world.db.read(pools.every)
    return sum(pool.claimed_gb for pool in found), sum(pool.volumes for pool in found)


async def overdue(world: FakeWorld) -> None:
    """Every operation is, and is told so."""
    late = sa.update(tables.operations).values(deadline=1.0)
    await world.db.write(lambda tx: tx.execute(late) and None)
    await Deadlines(world.db, world.runner("here").state_machine).check()


async def test_a_claim_made_twice_is_one_and_given_back_twice_is_gone_once(world: FakeWorld) -> None:
    await world.db.write(pools.claim, POOL, "other", 5)
    for size in (3, 3, 4):
        await world.db.write(pools.claim, POOL, "v", size)
    assert await claimed(world) == (9, 2)
    for _ in range(2):
        await world.db.write(pools.give_back, POOL, "v")
    assert await claimed(world) == (5, 1)


async def test_the_delete_of_an_errored_volume_and_the_cleaning_of_its_create_give_space_back_once(
    world: FakeWorld,
) -> None:
    async with working(world, "before", no_faults):
        await world.a_volume(size=7)
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=2), world.tunables)

    def placed(tx: Transaction) -> None:
        """As if the host had gone away while it made the bytes."""
        row = operations.get(tx, volume.operation_id or "")
        assert row is not None
        op = from_row(create.CREATE, row)
        create.claim_space(tx, op, world.tunables)
        values = {"notes": op.notes, "position": 1, "place": create.on_backend(op)}
        tx.execute(sa.update(tables.operations).where(tables.operations.c.id == op.id).values(**values))

    await world.db.write(placed)
    await overdue(world)
    await world.db.write(delete.accept, TENANT, volume.id)
    assert await claimed(world) == (9, 2)
    async with working(world, "back", no_faults):
        await quiet(world)
    assert await claimed(world) == (7, 1)
    assert await world.violations() == []


async def test_a_growth_that_failed_is_given_back_once_whatever_becomes_of_the_volume(world: FakeWorld) -> None:
    async with working(world, "before", no_faults):
        volume_id = await world.a_volume(size=2)

    async def grow_in_vain(size: int) -> None:
        await world.db.write(extend.accept, TENANT, volume_id, size, world.tunables)
        [row] = await world.db.read(
            operations.page, states=("running",), kind="volume.extend", subject=volume_id, limit=2
        )
        op = from_row(extend.EXTEND, row)
        await world.db.write(extend.claim_growth, op, world.tunables)
        values = {"position": 1, "place": extend.on_backend(op)}
        moved = sa.update(tables.operations).where(tables.operations.c.id == op.id).values(**values)
        await world.db.write(lambda tx: tx.execute(moved) and None)
        await overdue(world)

    await grow_in_vain(5)
    assert await claimed(world) == (5, 1)
    await grow_in_vain(4)
    assert await claimed(world) == (7, 1)
    assert await world.violations() == []
    await world.db.write(delete.accept, INTERNAL, volume_id)
    async with working(world, "back", no_faults):
        await quiet(world)
    assert await claimed(world) == (0, 0)
    assert await world.violations() == []


async def test_a_disk_that_could_not_be_managed_is_discounted_once(world: FakeWorld) -> None:
    asked = manage.Existing(pool=POOL, name="stranger")
    volume = await world.db.write(manage.accept, TENANT, asked, world.tunables)

    def counted(tx: Transaction) -> None:
        row = operations.get(tx, volume.operation_id or "")
        assert row is not None
        op = from_row(manage.MANAGE, row)
        op.notes["size"] = 2
        manage.count_bytes(tx, op, world.tunables)
        values = {"notes": op.notes, "position": 2}
        tx.execute(sa.update(tables.operations).where(tables.operations.c.id == op.id).values(**values))

    await world.db.write(counted)
    await overdue(world)
    await world.db.write(delete.accept, TENANT, volume.id)

    def forgotten(tx: Transaction) -> None:
        """As if the delete were faster than the cleaning."""
        [row] = operations.page(tx, states=("running",), kind="volume.delete", subject=volume.id, limit=2)
        delete.forget(tx, from_row(delete.DELETE, row), world.tunables)

    await world.db.write(forgotten)
    async with working(world, "back", no_faults):
        await quiet(world)
    assert await claimed(world) == (0, 0)
    assert await world.violations() == []


@pytest.mark.parametrize("lost", [True, False])
async def test_a_claim_unlike_its_volume_is_found_and_repaired(world: FakeWorld, lost: bool) -> None:
    async with working(world, "before", no_faults):
        await world.a_volume(size=2)
    c = tables.claims
    wrong = sa.delete(c) if lost else sa.insert(c).values(pool=POOL, holder="gone", gb=9, volumes=1)
    await world.db.write(lambda tx: tx.execute(wrong) and None)
    assert len([words for words in await world.violations() if "has claimed" in words]) == 1
    assert await repair(world.drivers, lambda _: None) == []
    assert await claimed(world) == (2, 1)

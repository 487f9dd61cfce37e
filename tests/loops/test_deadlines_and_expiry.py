"""Nothing goes on for ever: operations end at their deadline, and what has ended is forgotten in time."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from fake_world import TENANT, FakeWorld, fake_world

from pumice.loops.deadlines import Deadlines
from pumice.loops.expiry import DAY, Expiry
from pumice.operations.harness import quiet, working
from pumice.operations.operation import from_row
from pumice.operations.state_machine import no_faults
from pumice.store import messages, operations, tables
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.volumes import create


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        yield world


async def begun(world: FakeWorld) -> str:
    """A volume whose create nobody carries yet."""
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
    return volume.id


async def change_operations(world: FakeWorld, **values: object) -> None:
    await world.db.write(lambda tx: tx.execute(sa.update(tables.operations).values(**values)) and None)


async def told(world: FakeWorld) -> list[str]:
    return [row["text"] for row in await world.db.read(messages.visible, TENANT)]


# --- deadlines ----------------------------------------------------------------------------------


async def test_an_operation_whose_worker_stays_away_ends_at_its_deadline_with_an_explanation(
    world: FakeWorld,
) -> None:
    volume_id = await begun(world)
    await change_operations(world, deadline=time.time() - 1)
    await Deadlines(world.db, world.runner("here").state_machine).check()
    assert await world.volume_status(volume_id) == "error"
    [text] = await told(world)
    assert "It did not end in time: 'claim_space' was not done by the deadline." in text


async def test_what_is_left_to_undo_is_done_when_the_worker_is_back(world: FakeWorld) -> None:
    volume_id = await begun(world)

    def placed(tx: Transaction) -> None:
        """As if the host had gone away while it made the bytes."""
        row = operations.page(tx, states=None, kind=None, subject=volume_id, limit=1)[0]
        op = from_row(create.CREATE, row)
        create.claim_space(tx, op, world.tunables)
        values = {"notes": op.notes, "position": 1, "place": create.on_backend(op)}
        tx.execute(sa.update(tables.operations).values(**values))

    await world.db.write(placed)
    await change_operations(world, deadline=time.time() - 1)
    await Deadlines(world.db, world.runner("here").state_machine).check()
    assert await world.volume_status(volume_id) == "error"
    async with working(world, "back", no_faults):
        await quiet(world)
    assert len(await told(world)) == 1
    assert not await world.violations()


async def test_an_operation_in_time_goes_on(world: FakeWorld) -> None:
    volume_id = await begun(world)
    await Deadlines(world.db, world.runner("here").state_machine).check()
    assert await world.volume_status(volume_id) == "creating"


async def test_an_operation_that_somebody_holds_is_left_to_him(world: FakeWorld) -> None:
    volume_id = await begun(world)
    late = time.time() - 1
    await change_operations(world, deadline=late, owner="there:1", lease_until=time.time() + 60)
    await Deadlines(world.db, world.runner("here").state_machine).check()
    assert await world.volume_status(volume_id) == "creating"


# --- expiry -------------------------------------------------------------------------------------


async def count(world: FakeWorld, table: sa.Table) -> int:
    query = sa.select(sa.func.count()).select_from(table)
    return int(await world.db.read(lambda tx: tx.execute(query).scalar_one()))


async def test_ended_operations_are_forgotten_with_their_lines_after_the_days_they_are_kept(
    world: FakeWorld,
) -> None:
    async with working(world, "at-work", no_faults):
        volume_id = await world.a_volume()
    await Expiry(world.db, keep_days=7).sweep()
    assert await count(world, tables.operations) == 1
    await change_operations(world, finished_at=now() - timedelta(seconds=7 * DAY + 1))
    await Expiry(world.db, keep_days=7).sweep()
    assert await count(world, tables.operations) == await count(world, tables.operation_lines) == 0
    assert await world.volume_status(volume_id) == "available"


async def test_an_operation_under_way_is_never_forgotten(world: FakeWorld) -> None:
    await begun(world)
    await Expiry(world.db, keep_days=0).sweep()
    assert await count(world, tables.operations) == 1


async def test_messages_are_forgotten_when_their_time_has_come(world: FakeWorld) -> None:
    await begun(world)
    await change_operations(world, deadline=time.time() - 1)
    await Deadlines(world.db, world.runner("here").state_machine).check()
    await Expiry(world.db, keep_days=7).sweep()
    assert len(await told(world)) == 1
    past = sa.update(tables.messages).values(expires_at=now() - timedelta(seconds=1))
    await world.db.write(lambda tx: tx.execute(past) and None)
    await Expiry(world.db, keep_days=7).sweep()
    assert await told(world) == []

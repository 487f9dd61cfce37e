"""What belongs to nobody goes, after a while and with a word; what somebody is about stays, wherever he is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from clock import Clock
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.hypervisor.contract import Machine, Power
from pumice.loops import audit, orphans
from pumice.loops.violation import Repair
from pumice.model.errors import Retryable
from pumice.model.ids import AttachmentId, ServerId, VolumeId, new_id
from pumice.store import tables
from pumice.store.tombstones import Kind
from pumice.volumes import create

GRACE = 300.0
PLACE = f"{HOST}@one"


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        yield world


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(world: FakeWorld, clock: Clock) -> Repair:
    return Repair(audit.ORPHANS.in_a_loop(), world.drivers, grace=GRACE, clock=clock)


async def a_stray(world: FakeWorld, volume: str | None = None, *, known: bool = True) -> VolumeId:
    """Bytes without a row; of a volume that was deleted here, if it is ``known``."""
    stray = VolumeId(volume or new_id())
    await world.backends[PLACE].create(stray, "a", 1)
    if known:
        await world.bury(Kind.VOLUME, stray, f"{PLACE}#a")
    return stray


async def strays(world: FakeWorld) -> frozenset[VolumeId]:
    return (await world.backends[PLACE].inventory()).volumes


async def update_operation(world: FakeWorld, operation_id: str | None, **values: Any) -> None:
    change = sa.update(tables.operations).where(tables.operations.c.id == operation_id).values(**values)
    await world.db.write(lambda tx: tx.execute(change) and None)


async def test_an_orphan_is_removed_once_it_has_lasted_and_the_log_says_why(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    stray = await a_stray(world)
    with structlog.testing.capture_logs() as logged:
        await loop.run()
        clock.goes_on(GRACE - 1)
        await loop.run()
        assert await strays(world) == {stray}
        assert not logged
        clock.goes_on(1)
        await loop.run()
    assert not await strays(world)
    assert logged[0] == {
        "event": "orphan.removed",
        "log_level": "warning",
        "kind": "volume",
        "id": stray,
        "place": f"{PLACE}#a",
        "why": "the volume was deleted here",
    }


async def test_what_came_to_belong_to_somebody_in_the_last_moment_stays(world: FakeWorld) -> None:
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
    await update_operation(world, volume.operation_id, state="failed", settled=True)
    await a_stray(world, volume.id)
    [violation] = await orphans.check(world.drivers)
    await update_operation(world, volume.operation_id, state="running", settled=False)
    assert violation.fix is not None
    assert await violation.fix() is None
    assert await strays(world) == {volume.id}


@pytest.mark.parametrize("state", ["running", "waiting", "undoing"])
async def test_what_an_operation_is_about_stays_also_when_it_is_carried_out_elsewhere(
    world: FakeWorld, state: str
) -> None:
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
    far = {"place": "volume:far@one", "notes": {"pool": "far@one#a"}, "state": state, "settled": True}
    await update_operation(world, volume.operation_id, **far)
    await a_stray(world, volume.id)
    assert await orphans.check(world.drivers) == []
    await update_operation(world, volume.operation_id, state="failed")
    assert len(await orphans.check(world.drivers)) == 1


async def test_one_that_cannot_be_removed_keeps_no_other_from_it(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    for _ in range(3):
        await a_stray(world)
    world.backends[PLACE].fail_next["discard"] = Retryable("The disk is busy.")
    await loop.run()
    clock.goes_on(GRACE)
    with structlog.testing.capture_logs() as logged:
        await loop.run()
    assert len(await strays(world)) == 1
    assert [line["error"] for line in logged if line["event"] == "violation.stays"] == ["The disk is busy."]
    await loop.run()
    assert not await strays(world)


async def test_a_bug_in_one_removal_keeps_no_other_from_it(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    for _ in range(3):
        await a_stray(world)
    world.backends[PLACE].fail_next["discard"] = KeyError("a bug")
    await loop.run()
    clock.goes_on(GRACE)
    await loop.run()
    assert len(await strays(world)) == 1


async def test_a_driver_that_is_silent_for_long_is_said_once_and_hides_no_other(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    stray = AttachmentId(new_id())
    world.machines.told.add(stray)
    await world.bury(Kind.ATTACHMENT, stray)
    with structlog.testing.capture_logs() as logged:
        for _ in range(4):
            world.backends[PLACE].fail_next["inventory"] = Retryable("It is down.")
            await loop.run()
            clock.goes_on(GRACE)
    assert stray not in world.machines.told
    assert [line["violation"] for line in logged if line["event"] == "violation.found"] == [
        f"backend {PLACE} does not answer: It is down."
    ]


async def test_a_machine_of_a_server_that_was_deleted_here_is_an_orphan(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    machine = Machine(ServerId(new_id()), "stray", 1, 64, ())
    await world.machines.start(machine)
    await world.bury(Kind.SERVER, machine.id, HOST)
    await loop.run()
    clock.goes_on(GRACE)
    await loop.run()
    assert not await world.machines.machines()


async def test_a_machine_of_which_nothing_is_known_is_told_and_goes_on(
    world: FakeWorld, loop: Repair, clock: Clock
) -> None:
    machine, secret = Machine(ServerId(new_id()), "stray", 1, 64, ()), AttachmentId(new_id())
    await world.machines.start(machine)
    world.machines.told.add(secret)
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            await loop.run()
            clock.goes_on(GRACE)
    assert await world.machines.powers() == {machine.id: Power.RUNNING}
    assert secret in world.machines.told
    assert [line["violation"] for line in logged] == [
        f"machine {machine.id} on {HOST} is unknown: nothing here says whose it is or was",
        f"secret {secret} on {HOST} is unknown: nothing here says whose it is or was",
    ]


@pytest.mark.parametrize("status", ["managing", "error_managing", "unmanaging"])
async def test_bytes_that_were_somebody_elses_before_are_never_taken_for_orphans(
    world: FakeWorld, status: str
) -> None:
    volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
    await update_operation(world, volume.operation_id, state="failed", settled=True)
    change = sa.update(tables.volumes).values(status=status)
    await world.db.write(lambda tx: tx.execute(change) and None)
    await a_stray(world, volume.id)
    assert await orphans.check(world.drivers) == []

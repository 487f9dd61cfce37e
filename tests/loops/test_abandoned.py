"""What a client left halfway has an age, what an administrator put there none. `pumice why` tells of both."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from clock import Clock
from fake_world import CONNECTOR, HOST, TENANT, FakeWorld, fake_world

from pumice.attachments import connect, legacy, reserve
from pumice.loops import abandoned
from pumice.loops.violation import Repair
from pumice.model.connector import Connector
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import new_id
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.operations.why import told
from pumice.store import attachments, messages, tables, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes import delete

HOUR = timedelta(hours=1)


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    async with fake_world() as world:
        yield world


async def a_volume(world: FakeWorld) -> str:
    async with working(world, "at-work", no_faults):
        return await world.a_volume()


def in_use(tx: Transaction, volume_id: str) -> None:
    legacy.attach(tx, TENANT, volume_id, server_id=None, host="h", device="/dev/vdb", mode="rw")


def reserved(tx: Transaction, volume_id: str) -> None:
    legacy.reserve(tx, TENANT, volume_id)


def being_detached(tx: Transaction, volume_id: str) -> None:
    in_use(tx, volume_id)
    legacy.begin_detaching(tx, TENANT, volume_id)


def attachment(tx: Transaction, volume_id: str) -> None:
    reserve.reserve(tx, TENANT, volume_id, server_id=new_id())


async def is_later(world: FakeWorld) -> None:
    def work(tx: Transaction) -> None:
        for table, names in (
            (tables.volumes, ["moved_at"]),
            (tables.attachments, ["created_at", "updated_at"]),
        ):
            for row in tx.execute(sa.select(table)).mappings():
                values = {name: row[name] - HOUR for name in names if row[name]}
                tx.execute(sa.update(table).where(table.c.id == row["id"]).values(values)) if values else None

    await world.db.write(work)


async def settled(world: FakeWorld, *, grace: float = 300.0, clock: Clock | None = None) -> None:
    await Repair(abandoned.check, world.drivers, grace=grace, clock=clock or Clock()).run()


@pytest.mark.parametrize(
    ("leave", "meanwhile", "after"),
    [
        (reserved, "attaching", "available"),
        (being_detached, "detaching", "in-use"),
        (attachment, "reserved", "available"),
    ],
    ids=["os-reserve", "os-begin_detaching", "attachment"],
)
async def test_what_a_client_left_is_settled_after_its_age(
    world: FakeWorld,
    leave: Callable[[Transaction, str], None],
    meanwhile: str,
    after: str,
) -> None:
    volume_id = await a_volume(world)
    await world.db.write(leave, volume_id)
    await settled(world)
    assert await world.volume_status(volume_id) == meanwhile
    await world.db.write(lambda tx: volumes.change(tx, volume_id, name="new"))  # this makes it no younger
    await is_later(world)
    if leave is not attachment:
        words = await world.db.read(told, volume_id[:8], Tunables())
        assert f"Volume {volume_id} is {meanwhile} since" in words
        assert "A client left it" in words
        assert "at the latest; 'os-unreserve' or 'os-roll_detaching' by its owner" in words
    await settled(world)
    assert await world.volume_status(volume_id) == after
    assert await abandoned.check(world.drivers) == []
    assert await world.violations() == []


async def test_one_that_was_let_in_may_be_using_the_volume_and_keeps_it(world: FakeWorld) -> None:
    volume_id = await a_volume(world)

    def accept(tx: Transaction) -> str:
        return connect.accept_new(
            tx, TENANT, volume_id, server_id=new_id(), mode="rw", connector=Connector.parse(CONNECTOR)
        )[1]

    async with working(world, "at-work", no_faults):
        await world.ended(await world.db.write(accept))
    await is_later(world)
    await settled(world)
    assert await world.volume_status(volume_id) == "in-use"
    assert await world.target.exports()


async def test_the_age_is_a_setting(world: FakeWorld) -> None:
    volume_id = await a_volume(world)
    await world.db.write(reserved, volume_id)
    world.drivers = replace(world.drivers, abandoned_seconds=0.0)
    await settled(world)
    assert await world.volume_status(volume_id) == "available"


@pytest.mark.parametrize("word", ["attaching", "detaching", "reserved"])
@pytest.mark.parametrize("begin", [None, in_use], ids=["free", "in-use"])
async def test_a_volume_that_was_reset_to_what_nobody_does_is_reported_and_settled(
    world: FakeWorld, word: str, begin: Any
) -> None:
    volume_id = await a_volume(world)
    if begin:
        await world.db.write(begin, volume_id)
    await world.db.write(volumes.put, volume_id, VolumeStatus(word))
    [violation] = await abandoned.check(world.drivers)
    assert violation.words == f"volume {volume_id} was put to {word}, and nobody holds it"
    assert "An administrator put it there" in await world.db.read(told, volume_id, Tunables())
    clock = Clock()
    loop = Repair(abandoned.check, world.drivers, clock=clock)
    await loop.run()
    assert await world.volume_status(volume_id) == word
    clock.goes_on(301)
    await loop.run()
    assert await world.volume_status(volume_id) == ("in-use" if begin else "available")


async def test_its_owner_unreserves_what_a_client_left(world: FakeWorld) -> None:
    volume_id = await a_volume(world)
    await world.db.write(attachment, volume_id)
    assert await world.db.write(legacy.unreserve, TENANT, volume_id) == []
    assert await world.volume_status(volume_id) == "available"
    assert await world.db.read(attachments.of_volume, volume_id) == []


async def test_why_tells_what_is_at_work_where_and_until_when(world: FakeWorld) -> None:
    volume_id = await a_volume(world)
    assert "Nothing is under way on it" in await world.db.read(told, volume_id, Tunables())
    await world.db.write(delete.accept, TENANT, volume_id)
    words = await world.db.read(told, volume_id, Tunables())
    assert f"Volume {volume_id} is deleting since" in words
    assert "(volume.delete) is at work on it. It does '" in words
    assert f"at volume:{HOST}@" in words
    assert "It ends, done or with an explanation, by" in words
    silent = sa.update(tables.services).values(updated_at=now() - timedelta(hours=2))
    await world.db.write(lambda tx: tx.execute(silent) and None)
    assert f"'pumice hosts forget {HOST}'" in await world.db.read(told, volume_id, Tunables())
    async with working(world, "at-work", no_faults):
        await quiet(world)
    with pytest.raises(NotFound):
        await world.db.read(told, volume_id, Tunables())


async def test_why_tells_the_reason_of_an_error_and_which_of_several_ids(world: FakeWorld) -> None:
    volume_id = await a_volume(world)

    def fail(tx: Transaction) -> None:
        volumes.put(tx, volume_id, VolumeStatus.ERROR)
        messages.tell(tx, "project", Event.CREATE_VOLUME, volume_id, "The disk is full.", None)

    await world.db.write(fail)
    assert "The disk is full." in await world.db.read(told, volume_id, Tunables())
    with pytest.raises(Invalid, match="Several"):
        await world.db.read(told, "", Tunables())

"""What is under way on a thing decides what may begin on it: refused, queued behind it, or beside it."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import TENANT, FakeWorld, fake_world
from test_params import SHAPES

from pumice.app.verbs import VERBS
from pumice.loops.deadlines import Deadlines
from pumice.model.errors import Conflict, InvalidState
from pumice.model.ids import VolumeId
from pumice.model.volume import Volume
from pumice.operations import holds
from pumice.operations.harness import quiet, working
from pumice.operations.holds import TOGETHER, Hold, Mode
from pumice.operations.operation import OTHERS, Operation, Verb, enqueue, from_row
from pumice.operations.places import SCHEDULER
from pumice.operations.state_machine import no_faults
from pumice.store import tables, volumes, work_queue
from pumice.store.database import Transaction
from pumice.volumes import create, delete, extend, migrate, revert, unmanage
from pumice.volumes.snapshots import create as create_snapshot
from pumice.volumes.snapshots import delete as delete_snapshot


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[FakeWorld]:
    async with fake_world(database_url=database_url) as world:
        yield world


async def a_volume(world: FakeWorld, word: str) -> str:
    """An available volume whose guest wrote a word."""
    async with working(world, "stage", no_faults):
        volume_id = await world.a_volume()
        await quiet(world)
    for backend in world.backends.values():
        if volume_id in backend.contents():
            backend.write(VolumeId(volume_id), word)
    return volume_id


async def a_snapshot(world: FakeWorld, volume_id: str) -> str:
    async with working(world, "snap", no_faults):
        snapshot_id = await begin_snapshot(world, volume_id)
        await quiet(world)
    return snapshot_id


async def begin_snapshot(world: FakeWorld, volume_id: str) -> str:
    def work(tx: Transaction) -> str:
        return create_snapshot.accept(
            tx,
            TENANT,
            volume_id,
            name=None,
            description=None,
            metadata={},
            in_use=False,
            tunables=world.tunables,
        ).id

    return await world.db.write(work)


async def begin_clone(world: FakeWorld, **source: Any) -> Volume:
    return await world.db.write(create.accept, TENANT, create.Wanted(**source), world.tunables)


async def all_end(world: FakeWorld) -> None:
    async with working(world, "works", no_faults):
        await quiet(world)
    assert await world.violations() == []


def contents(world: FakeWorld) -> dict[str, str]:
    found: dict[str, str] = {}
    for backend in world.backends.values():
        found |= backend.contents()
    return found


async def given_up(world: FakeWorld, operation_id: str) -> None:
    """Its deadline has passed while its host was away."""
    o = tables.operations
    late = o.update().where(o.c.id == operation_id).values(deadline=1.0)
    await world.db.write(lambda tx: tx.execute(late) and None)
    await Deadlines(world.db, world.runner("scheduler").state_machine).check()


def test_which_two_go_together_does_not_depend_on_who_was_first() -> None:
    assert {(second, first) for first, second in TOGETHER} == TOGETHER
    assert not any(Mode.OWN in pair or Mode.CHANGE in pair for pair in TOGETHER)


def test_every_verb_says_what_it_holds() -> None:
    silent = [verb.kind for verb in VERBS if verb.holds is holds.nothing]
    assert not silent, f"say what {silent} hold, next to their steps: docs/adding-a-verb.md"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.waits], ids=lambda verb: verb.kind)
async def test_who_has_said_where_it_acts_waits_for_nobody_who_moves(world: FakeWorld, verb: Verb[Any]) -> None:
    asked: Any = SimpleNamespace(params=verb.params(**SHAPES[verb.kind][str(verb.version)]))

    def begin(tx: Transaction, thing: Hold) -> Operation[Any]:
        return enqueue(tx, verb, asked.params, subject=thing.id, who=TENANT)

    def move(tx: Transaction, thing: Hold) -> str:
        params = migrate.MigrateUnusedParams(VolumeId(thing.id), "pool", 1)
        return enqueue(tx, migrate.MIGRATE, params, subject=thing.id, who=TENANT).id

    for thing in verb.holds(asked):
        mover = await world.db.write(move, thing)
        if verb.says_where:
            with pytest.raises((InvalidState, Conflict), match=r"'volume\.migrate' is under way"):
                await world.db.write(begin, thing)
        else:
            assert mover in (await world.db.write(begin, thing)).notes[OTHERS]


async def test_a_volume_that_is_being_cloned_is_not_reverted_under_the_clone(world: FakeWorld) -> None:
    volume_id = await a_volume(world, "old")
    snapshot_id = await a_snapshot(world, volume_id)
    for backend in world.backends.values():
        if volume_id in backend.contents():
            backend.write(VolumeId(volume_id), "new")
    clone = await begin_clone(world, source_volid=volume_id)
    with pytest.raises(Conflict, match=r"is busy: 'volume.create' is under way on it. Ask again"):
        await world.db.write(revert.accept, TENANT, volume_id, snapshot_id)
    assert await world.volume_status(volume_id) == "available"
    await all_end(world)
    assert contents(world)[clone.id] == "new"
    await world.db.write(revert.accept, TENANT, volume_id, snapshot_id)
    await all_end(world)
    assert contents(world)[volume_id] == "old"


async def test_a_volume_that_is_being_cloned_is_not_unmanaged(world: FakeWorld) -> None:
    volume_id = await a_volume(world, "word")
    await begin_clone(world, source_volid=volume_id)
    with pytest.raises(InvalidState, match=r"Invalid volume: .* is busy: 'volume\.create'"):
        await world.db.write(unmanage.accept, TENANT, volume_id)


async def test_what_is_copied_is_deleted_when_the_copies_are_made(world: FakeWorld) -> None:
    volume_id = await a_volume(world, "word")
    clones = [await begin_clone(world, source_volid=volume_id) for _ in range(5)]
    await world.db.write(delete.accept, TENANT, volume_id)
    assert await world.volume_status(volume_id) == "deleting"
    await all_end(world)
    assert await world.volume_status(volume_id) is None
    assert [contents(world)[clone.id] for clone in clones] == ["word"] * 5


async def test_a_snapshot_is_deleted_when_the_volumes_are_made_of_it(world: FakeWorld) -> None:
    snapshot_id = await a_snapshot(world, await a_volume(world, "word"))
    copy = await begin_clone(world, snapshot_id=snapshot_id)
    await world.db.write(delete_snapshot.accept, TENANT, snapshot_id)
    await all_end(world)
    assert contents(world)[copy.id] == "word"
    assert snapshot_id not in contents(world)


async def test_a_volume_grows_when_its_snapshot_is_made(world: FakeWorld) -> None:
    volume_id = await a_volume(world, "word")
    await begin_snapshot(world, volume_id)
    await begin_clone(world, source_volid=volume_id)
    await world.db.write(extend.accept, TENANT, volume_id, 2, world.tunables)
    await all_end(world)
    volume = await world.db.read(volumes.find, volume_id)
    assert volume is not None
    assert (volume.status, volume.size) == ("available", 2)


async def test_an_errored_volume_is_deleted_behind_the_cleaning_of_its_create(world: FakeWorld) -> None:
    volume = await begin_clone(world, size=3)
    await _claims_space(world, volume)
    await given_up(world, volume.operation_id or "")
    assert await world.volume_status(volume.id) == "error"
    await world.db.write(delete.accept, TENANT, volume.id)
    await all_end(world)
    assert await world.volume_status(volume.id) is None


async def _claims_space(world: FakeWorld, volume: Volume) -> None:
    """The scheduler has chosen a pool, whose host does not answer."""
    runner = world.runner("scheduler")
    runner.state_machine.places = {SCHEDULER}
    asked = work_queue.Asked({SCHEDULER}, runner.owner)
    rows, _ = await world.db.write(work_queue.claim, asked, time.time(), 30.0, 1)
    assert [row["id"] for row in rows] == [volume.operation_id]
    await world.db.write(runner.state_machine.advance, from_row(create.CREATE, rows[0]), None)


async def test_nothing_is_read_any_more_once_the_deadline_has_passed(world: FakeWorld) -> None:
    volume_id = await a_volume(world, "word")
    clone = await begin_clone(world, source_volid=volume_id)
    await _claims_space(world, clone)
    await given_up(world, clone.operation_id or "")
    with pytest.raises(InvalidState, match=r"busy: 'volume\.create'"):  # its own bytes are still to be cleaned
        await world.db.write(unmanage.accept, TENANT, clone.id)
    await world.db.write(unmanage.accept, TENANT, volume_id)
    await all_end(world)


async def test_a_volume_is_asked_for_in_a_group_that_is_still_being_made(world: FakeWorld) -> None:
    """As Cinder takes it: clients ask for both at once."""
    group = await world.a_group_begins()
    volume = await begin_clone(world, size=1, group_id=group.id, volume_type="__DEFAULT__")
    await all_end(world)
    made = await world.db.read(volumes.get, TENANT, VolumeId(volume.id))
    assert (made.status, made.group_id) == ("available", group.id)


async def test_of_a_clone_and_a_revert_at_once_only_one_begins(world: FakeWorld) -> None:
    volume_id = await a_volume(world, "word")
    snapshot_id = await a_snapshot(world, volume_id)
    begun = await asyncio.gather(
        world.db.write(revert.accept, TENANT, volume_id, snapshot_id),
        begin_clone(world, source_volid=volume_id),
        return_exceptions=True,
    )
    assert sum(isinstance(one, (InvalidState, Conflict)) for one in begun) == 1, begun
    await all_end(world)


async def test_what_a_version_that_knows_no_holds_has_ended_holds_nothing(world: FakeWorld) -> None:
    volume_id = await a_volume(world, "bytes")

    def end_without_a_word(tx: Transaction) -> None:
        o = tables.operations
        tx.execute(sa.update(o).where(o.c.subject == volume_id).values(hold=Mode.CHANGE))

    await world.db.write(end_without_a_word)
    async with working(world, "now", no_faults):
        await world.db.write(delete.accept, TENANT, volume_id)
        await quiet(world)
    assert await world.volume_status(volume_id) is None

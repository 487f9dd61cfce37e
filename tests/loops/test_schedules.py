"""Schedules: each due time once, missed ones together once, nothing pruned that somebody may still want."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import TENANT, FakeWorld, fake_world

from pumice.loops.expiry import Expiry
from pumice.loops.schedules import Schedules
from pumice.model.errors import Conflict, Invalid, NotFound, TryAnotherBackend
from pumice.model.ids import ProjectId, UserId, new_id
from pumice.model.metrics_sink import MetricsSink
from pumice.model.schedule import ItemState, Makes, Run, RunState, Schedule
from pumice.model.scope import Scope
from pumice.model.states import BackupStatus, SnapshotStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot
from pumice.operations.harness import no_faults, quiet, working
from pumice.store import backups, clock, groups, messages, quotas, schedules, snapshots, tables, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.volumes import delete as delete_volume
from pumice.volumes.backups import create as create_backup
from pumice.volumes.recycle_bin import keep
from pumice.volumes.schedules import accept, turn
from pumice.volumes.snapshots import create as create_snapshot

HOURLY, DAILY = "0 * * * *", "0 3 * * *"
NEVER_DOWN = Tunables(service_down_seconds=1e9, quotas=MappingProxyType(dict.fromkeys(Tunables().quotas, -1)))
OTHER = Scope(UserId("other"), ProjectId("another"), frozenset({"member"}))


class Sink(MetricsSink):
    """Notes how runs ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def schedule_run(self, makes: str, state: str) -> None:
        self.ended.append((makes, state))


@pytest.fixture(autouse=True)
def the_time() -> Iterator[None]:
    """The database's clock, which tests put on and back."""
    yield
    clock.CLOCK.__init__()  # type: ignore[misc]


def goes_on(**amount: float) -> None:
    """The clock jumps so far, also back."""
    clock.CLOCK.set(clock.time() + timedelta(**amount).total_seconds(), time.monotonic())


def stands_at(at: datetime) -> None:
    goes_on(seconds=(at - now()).total_seconds())


@pytest.fixture
async def world() -> AsyncIterator[FakeWorld]:
    stands_at(datetime(2026, 6, 10, 12, 30))
    async with fake_world(tunables=NEVER_DOWN) as world:
        yield world


@asynccontextmanager
async def at_work(world: FakeWorld) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(working(world, "at-work", no_faults))
        yield


def loop(world: FakeWorld, sink: MetricsSink | None = None, tunables: Tunables = NEVER_DOWN) -> Schedules:
    return Schedules(world.db, tunables, sink or MetricsSink())


async def a_schedule(world: FakeWorld, volume_id: str | None = None, **wanted: Any) -> Schedule:
    asked = {"name": "hourly", "makes": Makes.SNAPSHOT, "cron": HOURLY, "volume_id": volume_id} | wanted
    return await world.db.write(accept.create, TENANT, accept.Wanted(**asked))


async def again(world: FakeWorld, schedule: Schedule) -> Schedule:
    return await world.db.read(schedules.get, TENANT, schedule.id)


async def runs_of(world: FakeWorld, schedule: Schedule) -> list[Run]:
    asked: dict[str, Any] = {"limit": 1000, "marker": None, "sort": [("due_at", True)]}
    return list(
        await world.db.read(lambda tx: schedules.runs_page(tx, TENANT, schedule_id=schedule.id, **asked))
    )


async def run_through(world: FakeWorld, sink: MetricsSink | None = None) -> None:
    """The loop until nothing is left to do; a quarter of a minute each time."""
    for _ in range(8):
        await loop(world, sink).check()
        await quiet(world)
        goes_on(seconds=16)


async def snapshots_of(world: FakeWorld, volume_id: str) -> list[Any]:
    return list(await world.db.read(snapshots.of_volume, volume_id))


async def told(world: FakeWorld) -> list[str]:
    return [row["text"] for row in await world.db.read(messages.visible, TENANT)]


# --- when ----------------------------------------------------------------------------------------


async def test_a_schedule_makes_a_snapshot_when_it_is_due_and_not_before(world: FakeWorld) -> None:
    async with at_work(world):
        volume, sink = await world.a_volume(), Sink()
        schedule = await a_schedule(world, volume, timezone="Europe/Berlin")
        assert schedule.next_run_at == datetime(2026, 6, 10, 13)
        await run_through(world)
        assert await snapshots_of(world, volume) == []
        stands_at(datetime(2026, 6, 10, 13, 0, 5))
        await run_through(world, sink)
        [made] = await snapshots_of(world, volume)
        assert (made.status, made.name, made.project_id) == ("available", "hourly 2026-06-10 15:00", "project")
        [run] = await runs_of(world, schedule)
        assert (run.state, run.made, run.failed, run.error) == (RunState.DONE, 1, 0, None)
        assert run.due_at == datetime(2026, 6, 10, 13)
        assert sink.ended == [("snapshot", "done")]
        assert (await again(world, schedule)).next_run_at == datetime(2026, 6, 10, 14)


async def test_what_was_missed_is_caught_up_once(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        goes_on(days=3)
        await run_through(world)
        assert len(await snapshots_of(world, volume)) == 1
        assert (await again(world, schedule)).next_run_at == datetime(2026, 6, 13, 13)


async def test_a_clock_that_is_put_back_runs_no_time_twice(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        stands_at(datetime(2026, 6, 10, 13, 0, 5))
        await run_through(world)
        stands_at(datetime(2026, 6, 10, 12, 50))
        await run_through(world)
        stands_at(datetime(2026, 6, 10, 13, 0, 10))
        await run_through(world)
        assert [run.due_at.hour for run in await runs_of(world, schedule)] == [13]
        stands_at(datetime(2026, 6, 10, 14, 0, 5))
        await run_through(world)
        assert [run.due_at.hour for run in await runs_of(world, schedule)] == [13, 14]


async def test_a_clock_that_was_years_ahead_leaves_no_schedule_behind_there(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        goes_on(days=4000)
        await loop(world).check()
        goes_on(days=-4000)
        await run_through(world)
        assert (await again(world, schedule)).next_run_at == datetime(2026, 6, 10, 13)
        for hour in (13, 14):  # the first of them was run when the clock was ahead
            stands_at(datetime(2026, 6, 10, hour, 0, 5))
            await run_through(world)
        assert [run.due_at.hour for run in await runs_of(world, schedule)] == [13, 14]
        assert {run.state for run in await runs_of(world, schedule)} == {RunState.DONE}
        assert len(await snapshots_of(world, volume)) == 2


async def test_a_schedule_waits_for_its_run_that_is_under_way(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
    schedule = await a_schedule(world, volume, cron="*/10 * * * *")
    for _ in range(3):
        goes_on(minutes=11)
        await loop(world).check()
    assert len(await runs_of(world, schedule)) == 1
    with pytest.raises(Conflict):
        await world.db.write(accept.run_now, TENANT, schedule.id, NEVER_DOWN)
    async with at_work(world):
        await quiet(world)
        await run_through(world)
    assert [run.state for run in await runs_of(world, schedule)] == [RunState.DONE] * 2


async def test_two_schedulers_at_once_begin_one_run(database_url: str) -> None:
    async with fake_world(tunables=NEVER_DOWN, database_url=database_url) as world, at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        due = now() - timedelta(minutes=1)
        await world.db.write(lambda tx: schedules.change(tx, schedule.id, next_run_at=due))
        await asyncio.gather(*(loop(world).check() for _ in range(6)))
        await quiet(world)
        assert len(await runs_of(world, schedule)) == 1
        assert len(await snapshots_of(world, volume)) == 1


async def test_what_is_disabled_does_not_run_by_itself_but_when_it_is_told_to(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume, enabled=False)
        goes_on(days=1)
        await run_through(world)
        assert await runs_of(world, schedule) == []
        run = await world.db.write(accept.run_now, TENANT, schedule.id, NEVER_DOWN)
        assert run.manual
        await run_through(world)
        assert len(await snapshots_of(world, volume)) == 1
        enabled = await world.db.write(accept.update, TENANT, schedule.id, {"enabled": True})
        assert enabled.next_run_at == datetime(2026, 6, 11, 13)


async def test_what_is_disabled_while_it_runs_ends_its_run_and_begins_no_other(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
    schedule = await a_schedule(world, volume)
    goes_on(hours=1)
    await loop(world).check()
    await world.db.write(accept.update, TENANT, schedule.id, {"enabled": False})
    async with at_work(world):
        await run_through(world)
        goes_on(days=2)
        await run_through(world)
    assert [run.state for run in await runs_of(world, schedule)] == [RunState.DONE]


@pytest.mark.parametrize(
    "wrong",
    [
        {"cron": "* * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "@daily"},
        {"cron": "* * * * * *"},
        {"cron": "61 * * * *"},
        {"timezone": "Europe/Atlantis"},
        {"timezone": "../etc/passwd"},
        {"timezone": ""},
        {"full_every": 3},
    ],
)
async def test_what_makes_no_sense_is_refused_in_a_sentence(world: FakeWorld, wrong: dict[str, Any]) -> None:
    async with at_work(world):
        volume = await world.a_volume()
    with pytest.raises(Invalid, match=r"[a-z]{3} .*\.$"):
        await a_schedule(world, volume, **wrong)


async def test_anothers_volume_is_not_found(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
    wanted = accept.Wanted(name="mine", makes=Makes.SNAPSHOT, cron=DAILY, volume_id=volume)
    with pytest.raises(NotFound):
        await world.db.write(accept.create, OTHER, wanted)
    admin = replace(OTHER, roles=frozenset({"admin"}))
    with pytest.raises(NotFound):
        await world.db.write(accept.create, admin, wanted)


# --- what fails ----------------------------------------------------------------------------------


async def test_a_run_that_fails_says_so_in_a_message_a_metric_and_the_schedule(world: FakeWorld) -> None:
    async with at_work(world):
        volume, sink = await world.a_volume(), Sink()
        schedule = await a_schedule(world, volume)
        for backend in world.backends.values():
            backend.fail_next["create_snapshot"] = TryAnotherBackend("The pool here@one#a is full.")
        goes_on(hours=1)
        await run_through(world, sink)
        [run] = await runs_of(world, schedule)
        assert (run.state, run.failed, sink.ended) == (RunState.FAILED, 1, [("snapshot", "failed")])
        assert "is full" in str(run.error)
        assert "here@one" not in str(run.error)
        assert any("Schedule 'hourly'" in text and volume in text for text in await told(world))
        goes_on(hours=1)
        await run_through(world)
        left = await snapshots_of(world, volume)
        assert [one.status for one in left] == ["available"], (
            "what failed is deleted with the next that succeeds"
        )


async def test_over_quota_fails_and_prunes_nothing(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume, keep={"last": 1})
        goes_on(hours=1)
        await run_through(world)
        await world.db.write(quotas.set_limits, "project", {"snapshots": 1})
        goes_on(hours=1)
        await run_through(world)
        assert [one.status for one in await snapshots_of(world, volume)] == ["available"]
        last = (await runs_of(world, schedule))[-1]
        assert (last.state, "SnapshotLimitExceeded" in str(last.error)) == (RunState.FAILED, True)
        await world.db.write(quotas.set_limits, "project", {"snapshots": 2})
        goes_on(hours=1)
        await run_through(world)
        assert [one.name[-5:] for one in await snapshots_of(world, volume)] == ["15:34"]
        assert await world.violations() == []


async def test_a_volume_that_is_busy_is_tried_again_and_at_last_told(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        await world.db.write(lambda tx: volumes.put(tx, volume, "maintenance"))
        goes_on(hours=1)
        await run_through(world)
        [run] = await runs_of(world, schedule)
        assert run.state == RunState.RUNNING
        await world.db.write(lambda tx: volumes.put(tx, volume, "available"))
        await run_through(world)
        [run] = await runs_of(world, schedule)
        assert run.state == RunState.DONE
        await world.db.write(lambda tx: volumes.put(tx, volume, "maintenance"))
        goes_on(hours=1)
        for _ in range(turn.MOST_TRIES + 1):
            await loop(world).check()
            goes_on(seconds=16)
        last = (await runs_of(world, schedule))[-1]
        assert (last.state, "maintenance" in str(last.error)) == (RunState.FAILED, True)


async def test_the_schedule_of_a_volume_that_is_gone_is_switched_off_and_says_so(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        await world.db.write(delete_volume.accept, TENANT, volume)
        await quiet(world)
        goes_on(hours=1)
        await run_through(world)
        after = await again(world, schedule)
        assert (after.enabled, after.next_run_at) == (False, None)
        assert any("switched off" in text for text in await told(world))


async def test_what_is_deleted_while_it_runs_leaves_what_it_has_begun(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
    schedule = await a_schedule(world, volume)
    goes_on(hours=1)
    await loop(world).check()
    await world.db.write(accept.delete, TENANT, schedule.id)
    async with at_work(world):
        await run_through(world)
    assert [one.status for one in await snapshots_of(world, volume)] == ["available"]
    assert await world.violations() == []


# --- which ---------------------------------------------------------------------------------------


async def test_a_tag_finds_the_volumes_that_have_it_when_it_is_due(world: FakeWorld) -> None:
    async with at_work(world):
        tagged = [await world.a_volume(metadata={"backup": "yes", "n": str(n)}) for n in range(3)]
        plain = await world.a_volume(metadata={"backup": "no"})
        schedule = await a_schedule(world, tags={"backup": "yes"})
        goes_on(hours=1)
        await run_through(world)
        assert [len(await snapshots_of(world, one)) for one in (*tagged, plain)] == [1, 1, 1, 0]
        [run] = await runs_of(world, schedule)
        assert (run.volumes, run.made) == (3, 3)


async def many(world: FakeWorld, number: int, **values: Any) -> None:
    """So many volumes in the rows alone."""
    template = await world.db.read(volumes.find, await world.a_volume(metadata={"tier": "gold"}))
    assert template is not None

    def work(tx: Transaction) -> None:
        row = tx.execute(sa.select(tables.volumes).where(tables.volumes.c.id == template.id)).mappings().one()
        rows = [{**row, "id": new_id(), **values} for _ in range(number - 1)]
        tx.execute(sa.insert(tables.volumes), rows)

    await world.db.write(work)


async def test_ten_thousand_volumes_are_found_and_begun_a_part_at_a_time(world: FakeWorld) -> None:
    async with at_work(world):
        await many(world, 10_000)
    schedule = await a_schedule(world, tags={"tier": "gold"})
    run = await world.db.write(accept.run_now, TENANT, schedule.id, NEVER_DOWN)
    assert run.volumes == turn.MOST_LISTED
    for _ in range(3):
        await loop(world).check()
    [run] = await runs_of(world, schedule)
    assert run.volumes == 10_000
    count = await world.db.read(lambda tx: schedules.count_items(tx, run))
    assert count[ItemState.BEGUN] == turn.MOST_UNDER_WAY
    assert sum(count.values()) == 10_000


async def test_ten_thousand_that_are_over_quota_fail_in_one_message(world: FakeWorld) -> None:
    async with at_work(world):
        await many(world, 700)
    await world.db.write(quotas.set_limits, "project", {"snapshots": 0})
    schedule = await a_schedule(world, tags={"tier": "gold"})
    await world.db.write(accept.run_now, TENANT, schedule.id, NEVER_DOWN)
    for _ in range(4):
        await loop(world).check()
    [run] = await runs_of(world, schedule)
    assert (run.state, run.failed) == (RunState.FAILED, 700)
    assert len(await told(world)) == 1


async def test_a_group_is_kept_and_pruned_together(world: FakeWorld) -> None:
    async with at_work(world):
        group = await world.a_group()
        members = [await world.a_volume(group_id=group, volume_type="__DEFAULT__") for _ in range(2)]
        schedule = await a_schedule(world, None, group_id=group, keep={"last": 2})
        for _ in range(4):
            goes_on(hours=1)
            await run_through(world)
        assert [len(await snapshots_of(world, one)) for one in members] == [2, 2]
        assert {run.state for run in await runs_of(world, schedule)} == {RunState.DONE}
        kept = await a_schedule(world, None, group_id=group, makes=Makes.BACKUP)
        await world.db.write(accept.run_now, TENANT, kept.id, NEVER_DOWN)
        await run_through(world)
        assert [len(await world.db.read(backups.of_volume, "project", one)) for one in members] == [1, 1]
        assert await world.db.read(groups.find, group)


# --- pruning -------------------------------------------------------------------------------------


async def a_persons_snapshot(world: FakeWorld, volume: str, name: str, *, in_use: bool = False) -> Snapshot:
    """One that no schedule made."""
    asked = partial(
        create_snapshot.accept, name=name, description=None, metadata={}, in_use=in_use, tunables=NEVER_DOWN
    )
    made = await world.db.write(lambda tx: asked(tx, TENANT, volume))
    await quiet(world)
    return made


async def test_so_many_are_kept_as_the_rules_say_and_none_that_a_person_made(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        mine = await a_persons_snapshot(world, volume, "hourly 2026-06-10 12:00")
        await a_schedule(world, volume, keep={"last": 2, "daily": 3})
        for _ in range(5):
            for hour in (10, 20):
                stands_at(now().replace(hour=hour, minute=0, second=1) + timedelta(days=hour == 10))
                await run_through(world)
        names = sorted(one.name[-11:-3] for one in await snapshots_of(world, volume) if one.id != mine.id)
        assert names == ["06-13 20", "06-14 20", "06-15 10", "06-15 20"]
        assert await world.db.read(snapshots.find, mine.id)
        assert await world.violations() == []


@pytest.mark.parametrize(
    "changes", [{"name": "keep this"}, {"description": "before the upgrade"}, {"metadata": {"keep": "1"}}]
)
async def test_what_somebody_has_made_his_own_is_not_pruned(world: FakeWorld, changes: dict[str, Any]) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        await a_schedule(world, volume, keep={"last": 1})
        goes_on(hours=1)
        await run_through(world)
        [first] = await snapshots_of(world, volume)
        await world.db.write(lambda tx: snapshots.change(tx, first.id, **changes))
        for _ in range(2):
            goes_on(hours=1)
            await run_through(world)
        found = await snapshots_of(world, volume)
        assert len(found) == 2
        assert found[0].id == first.id


async def test_what_a_deleted_schedule_made_stays_also_when_there_is_a_new_one(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        for _ in range(2):
            schedule = await a_schedule(world, volume, keep={"last": 1})
            goes_on(hours=1)
            await run_through(world)
            await world.db.write(accept.delete, TENANT, schedule.id)
        assert len(await snapshots_of(world, volume)) == 2


async def goes_with_what_it_made(world: FakeWorld, schedule: Schedule) -> None:
    await world.db.write(accept.delete_with_made, TENANT, schedule.id, NEVER_DOWN)


async def is_gone(world: FakeWorld, schedule: Schedule) -> bool:
    return await world.db.read(schedules.find, schedule.id) is None


async def test_a_schedule_goes_with_what_it_made_and_nothing_of_a_persons(world: FakeWorld) -> None:
    world.tunables = kept = replace(NEVER_DOWN, recycle_days=7)
    async with at_work(world):
        volume = await world.a_volume()
        schedule, other = await a_schedule(world, volume), await a_schedule(world, volume, name="other")
        for _ in range(4):
            goes_on(hours=1)
            await run_through(world)
        theirs = await a_persons_snapshot(world, volume, "hourly 2026", in_use=True)
        by = {it.id: [one.id for one in await made_by(world, volume, it)] for it in (schedule, other)}
        renamed, tagged, binned, *_ = by[schedule.id]
        await world.db.write(lambda tx: snapshots.change(tx, renamed, name="before the upgrade"))
        await world.db.write(lambda tx: snapshots.change(tx, tagged, metadata={"keep": "me"}))
        await world.db.write(lambda tx: keep.delete_snapshot(tx, TENANT, binned, kept))
        await goes_with_what_it_made(world, schedule)
        with pytest.raises(Conflict, match="together with what it made"):
            await world.db.write(accept.run_now, TENANT, schedule.id, NEVER_DOWN)
        with pytest.raises(Conflict, match="together with what it made"):
            await world.db.write(accept.update, TENANT, schedule.id, {"enabled": True})
        await run_through(world)
        assert await is_gone(world, schedule) and not await is_gone(world, other)
        left = {one.id for one in await snapshots_of(world, volume)}
        assert left == {renamed, tagged, theirs.id, *by[other.id]}
        in_bin = await world.db.read(lambda tx: snapshots.of_volume(tx, volume, in_bin=True))
        assert binned in {one.id for one in in_bin}
        assert await told(world) == [] and await world.violations() == []


async def made_by(world: FakeWorld, volume_id: str, schedule: Schedule) -> list[Any]:
    return [it for it in await snapshots_of(world, volume_id) if (it.description or "").endswith(schedule.id)]


async def test_a_schedule_goes_while_it_runs_with_what_is_still_being_made(world: FakeWorld) -> None:
    async with at_work(world):
        volumes_ = [await world.a_volume(metadata={"a": "b"}) for _ in range(3)]
    schedule = await a_schedule(world, tags={"a": "b"}, makes=Makes.BACKUP)
    await world.db.write(accept.run_now, TENANT, schedule.id, NEVER_DOWN)
    await goes_with_what_it_made(world, schedule)
    await loop(world).check()
    assert not await is_gone(world, schedule)  # they are still being made
    async with at_work(world):
        await run_through(world)
    assert await is_gone(world, schedule)
    for volume in volumes_:
        assert await world.db.read(backups.of_volume, "project", volume) == []


async def test_a_chain_of_backups_goes_with_its_schedule_but_for_what_a_persons_own_adds_to(
    world: FakeWorld,
) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume, makes=Makes.BACKUP, full_every=9)
        for number in range(4):
            goes_on(hours=1)
            await run_through(world)
            if number == 1:
                wanted = create_backup.Wanted(volume, incremental=True, name="mine")
                mine = await world.db.write(create_backup.accept, TENANT, wanted, NEVER_DOWN)
                await quiet(world)
        await goes_with_what_it_made(world, schedule)
        await run_through(world)
        assert not await is_gone(world, schedule) and await told(world) == []
        goes_on(days=-400)  # the clock was wrong
        for _ in range(12):
            await run_through(world)
        assert await is_gone(world, schedule)
        left = {one.id for one in await world.db.read(backups.of_volume, "project", volume)}
        assert mine.id in left and mine.parent_id in left and len(left) == 3
        [message] = await told(world)
        assert mine.parent_id in message and "was deleted, and not all that it made" in message
        assert await world.violations() == []


async def test_what_is_left_stays_where_a_schedule_that_goes_is_deleted_plainly(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        goes_on(hours=1)
        await run_through(world)
        [one] = await snapshots_of(world, volume)
        await world.db.write(lambda tx: snapshots.put(tx, one.id, SnapshotStatus.BACKING_UP))
        await goes_with_what_it_made(world, schedule)
        await world.db.write(accept.delete, TENANT, schedule.id)
        await world.db.write(lambda tx: snapshots.put(tx, one.id, SnapshotStatus.AVAILABLE))
        await run_through(world)
        assert [it.id for it in await snapshots_of(world, volume)] == [one.id]


async def test_a_chain_of_backups_begins_anew_and_is_pruned_once_nothing_of_it_is_needed(
    world: FakeWorld,
) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        await a_schedule(world, volume, makes=Makes.BACKUP, keep={"last": 2}, full_every=3)
        kinds: list[str] = []
        for _ in range(7):
            goes_on(hours=1)
            await run_through(world)
            newest = max(
                await world.db.read(backups.of_volume, "project", volume), key=lambda one: one.created_at
            )
            kinds.append("incremental" if newest.parent_id else "whole")
        assert kinds == ["whole", "incremental", "incremental"] * 2 + ["whole"]
        left = sorted(await world.db.read(backups.of_volume, "project", volume), key=lambda it: it.created_at)
        assert [bool(one.parent_id) for one in left] == [False, True, True, False]
        assert {one.status for one in left} == {BackupStatus.AVAILABLE}
        assert await world.violations() == []


async def test_a_backup_that_a_persons_own_adds_to_stays(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        await a_schedule(world, volume, makes=Makes.BACKUP, keep={"last": 1})
        goes_on(hours=1)
        await run_through(world)
        wanted = create_backup.Wanted(volume, incremental=True, name="mine")
        mine = await world.db.write(create_backup.accept, TENANT, wanted, NEVER_DOWN)
        await quiet(world)
        for _ in range(2):
            goes_on(hours=1)
            await run_through(world)
        found = {one.id: one for one in await world.db.read(backups.of_volume, "project", volume)}
        assert len(found) == 3
        assert mine.parent_id in found


async def test_a_snapshot_that_is_in_use_is_left_for_the_next_time(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        await a_schedule(world, volume, keep={"last": 1})
        goes_on(hours=1)
        await run_through(world)
        [first] = await snapshots_of(world, volume)
        await world.db.write(lambda tx: snapshots.put(tx, first.id, SnapshotStatus.BACKING_UP))
        goes_on(hours=1)
        await run_through(world)
        assert len(await snapshots_of(world, volume)) == 2
        await world.db.write(lambda tx: snapshots.put(tx, first.id, SnapshotStatus.AVAILABLE))
        goes_on(hours=1)
        await run_through(world)
        assert len(await snapshots_of(world, volume)) == 1


async def test_what_is_pruned_comes_into_no_recycle_bin_and_what_is_in_it_is_left_there(
    world: FakeWorld,
) -> None:
    kept = replace(NEVER_DOWN, recycle_days=7)
    world.tunables = kept
    async with at_work(world):
        volume = await world.a_volume(metadata={"a": "b"})
        await a_schedule(world, tags={"a": "b"}, keep={"last": 1})
        for _ in range(3):
            goes_on(hours=1)
            await run_through(world)
        assert len(await world.db.read(lambda tx: snapshots.of_volume(tx, volume, in_bin=True))) == 1
        [last] = await snapshots_of(world, volume)
        await world.db.write(lambda tx: keep.delete_snapshot(tx, TENANT, last.id, kept))
        goes_on(hours=1)
        await run_through(world)
        assert len(await world.db.read(lambda tx: snapshots.of_volume(tx, volume, in_bin=True))) == 2
        await world.db.write(lambda tx: keep.delete_volume(tx, TENANT, volume, kept, with_snapshots=True))
        goes_on(hours=1)
        await run_through(world)
        assert await snapshots_of(world, volume) == []


async def test_runs_are_forgotten_after_a_while_and_what_they_made_is_still_pruned(world: FakeWorld) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume, keep={"last": 2})
        for _ in range(3):
            goes_on(hours=1)
            await run_through(world)
        await Expiry(world.db, keep_days=0).sweep()
        assert len(await runs_of(world, schedule)) == 1
        for _ in range(2):
            goes_on(hours=1)
            await run_through(world)
        assert len(await snapshots_of(world, volume)) == 2
        await Expiry(world.db, keep_days=0).sweep()
        count = sa.select(sa.func.count()).select_from(tables.schedule_items)
        assert await world.db.read(lambda tx: tx.execute(count).scalar_one()) == 3


# --- whatever ends a process ----------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


LEFT: ContextVar[list[int] | None] = ContextVar("LEFT", default=None)
"""How many more statements whoever has this context lives for; others, who work beside it, live on."""


@contextlib.contextmanager
def dying_at(statement: int) -> Iterator[None]:
    """Whoever is in here is killed at this statement of its own."""
    token = LEFT.set([statement])
    try:
        yield
    finally:
        LEFT.reset(token)


@pytest.fixture
def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """``dying_at`` kills."""
    execute = Transaction.execute

    def dies(tx: Transaction, statement: Any, parameters: Any = None) -> Any:
        if left := LEFT.get():
            left[0] -= 1
            if left[0] == 0:
                raise Killed
        return execute(tx, statement, parameters)

    monkeypatch.setattr(Transaction, "execute", dies)


@pytest.mark.usefixtures("mortal")
async def test_a_process_that_is_killed_at_any_statement_goes_on_with_deleting_a_schedule(
    world: FakeWorld,
) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume)
        for _ in range(3):
            goes_on(hours=1)
            await run_through(world)
        await goes_with_what_it_made(world, schedule)
        for statement in range(1, 61):
            with dying_at(statement), contextlib.suppress(Killed):
                await loop(world).check()
            await quiet(world)
            goes_on(seconds=16)
        assert await is_gone(world, schedule) and await snapshots_of(world, volume) == []
        assert await world.violations() == []


@pytest.mark.usefixtures("mortal")
async def test_a_process_that_is_killed_at_any_statement_leaves_each_due_time_run_once(
    world: FakeWorld,
) -> None:
    async with at_work(world):
        volume = await world.a_volume()
        schedule = await a_schedule(world, volume, keep={"last": 1})
        survived, statement = 0, 0
        while survived < 2:
            statement += 1
            goes_on(hours=1)
            for _ in range(6):
                try:
                    with dying_at(statement):
                        await loop(world).check()
                except Killed:
                    pass
                else:
                    survived += statement > 40
                await quiet(world)
                goes_on(seconds=16)
            await run_through(world)
        runs = await runs_of(world, schedule)
        assert {run.state for run in runs} == {RunState.DONE}
        assert len(runs) == len({run.due_at for run in runs}) >= statement
        assert len(await snapshots_of(world, volume)) == 1
        assert await world.violations() == []

"""A call that hangs costs its own place, and its operation ends in time all the same."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.patience import PATIENCE, patience, soon

from pumice.app import probes
from pumice.app.operations_log import print_one
from pumice.app.settings import Compute, Settings
from pumice.host import bulkhead
from pumice.host.thread import in_thread, to_the_end
from pumice.loops.deadlines import Deadlines
from pumice.model.errors import PumiceError
from pumice.model.ids import ProjectId
from pumice.model.scope import INTERNAL
from pumice.model.tunables import RetryPolicy, Tunables
from pumice.operations.completions import Completions
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, use
from pumice.operations.leases import SILENT_SECONDS
from pumice.operations.operation import Operation, Outside, Step, Verb, enqueue, from_row, scheduler
from pumice.operations.places import SCHEDULER
from pumice.operations.runner import Runner
from pumice.store import hanging, schema
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.store.tables import metadata, operations
from pumice.store.witness import Witness, Witnesses


@dataclass(frozen=True)
class Pan:
    place: str


@dataclass
class Stoves:
    """What hangs nothing but ``free`` ends; each stove that is not ``hangs`` fries at once."""

    hangs: str = "sick"
    how: str = "thread"
    free: threading.Event = field(default_factory=threading.Event)
    calls: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    back: int = 0

    def wait(self, subject: str) -> None:
        while not self.free.wait(0.01) and subject not in self.done:
            pass


STOVES = Stoves()


async def fry(op: Operation[Pan], drivers: Drivers) -> None:
    STOVES.calls.append(op.subject)
    if op.notes.get("pool", op.place) != STOVES.hangs:
        return
    if STOVES.how == "thread":
        await in_thread(STOVES.wait, op.subject)
    else:  # as a child that was killed is waited for, and does not end
        await to_the_end(asyncio.ensure_future(asyncio.to_thread(STOVES.wait, op.subject)))
    STOVES.back += 1


async def clean(op: Operation[Pan], drivers: Drivers) -> None:
    STOVES.calls.append(f"clean {op.subject}")


def at_place(op: Operation[Pan]) -> str:
    return op.params.place


TOLD: dict[str, str] = {}


def failed(tx: Transaction, op: Operation[Pan], error: str) -> None:
    TOLD[op.subject] = error


FRY = Verb("pan.fry", Pan, (Step(fry, undo=clean, at=at_place, timeout=0.2),), failed, deadline=6000)
SLOW = Verb("pan.stew", Pan, (Step(fry, undo=clean, at=at_place, timeout=600),), failed, deadline=6000)


def choose(tx: Transaction, op: Operation[Pan], tunables: Tunables) -> None:
    left = op.notes.get("left_out", [])
    op.notes["pool"] = next(pool for pool in op.params.place.split() if pool not in left)


def leave(tx: Transaction, op: Operation[Pan], tunables: Tunables) -> None:
    op.notes["left_out"] = [op.notes.pop("pool")]


def at_pool(op: Operation[Pan]) -> str:
    return str(op.notes["pool"]).partition("#")[0]


CHOOSE = Step(choose, undo=leave, at=scheduler, chooses=True)
BAKE = Verb("pan.bake", Pan, (CHOOSE, Step(fry, undo=clean, at=at_pool, timeout=0.2)), failed, deadline=6000)


class Kitchen:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.drivers = Drivers(db)
        self.completions = Completions(db)
        self.tasks: list[asyncio.Task[None]] = []

    def start(
        self,
        boot: str = "1",
        workers: int = 32,
        lease: float = 30.0,
        host: str = "here",
        silence: float = SILENT_SECONDS,
        witnesses: Witnesses | None = None,
    ) -> Runner:
        runner = Runner(
            self.db,
            (FRY, SLOW, BAKE),
            self.drivers,
            host=host,
            boot=boot,
            places=("sick", "well", SCHEDULER),
            workers=workers,
            lease=lease,
            silence=silence,
            tunables=Tunables(retry_policy=RetryPolicy(first=0.01)),
            witnesses=witnesses,
        )
        self.tasks.append(asyncio.create_task(runner.run()))
        return runner

    async def begin(self, place: str, subject: str, verb: Verb[Pan] = FRY, project: str = "") -> str:
        who = replace(INTERNAL, project_id=ProjectId(project) if project else None)
        op = await self.db.write(lambda tx: enqueue(tx, verb, Pan(place), subject=subject, who=who))
        return op.id

    async def ended(self, operation_id: str) -> tuple[bool, str | None]:
        return await self.completions.wait(operation_id, PATIENCE)

    async def row(self, operation_id: str) -> Any:
        return await self.db.read(log.get, operation_id)

    async def hanging(self) -> list[tuple[str, str, str | None]]:
        return [(row["place"], row["call"], row["subject"]) for row in await self.db.read(hanging.every)]

    async def put_down(self, operation_id: str) -> None:
        """Until its lease has ended."""
        async with patience():
            while (await self.row(operation_id))["lease_until"] is not None:
                await asyncio.sleep(0.01)

    async def overdue(self, runner: Runner) -> None:
        """Whatever has not ended is told that it did not in time."""
        past = sa.update(operations).values(deadline=time.time() - 1)
        await self.db.write(lambda tx: tx.execute(past) and None)
        await Deadlines(self.db, runner.state_machine).check()

    async def begun(self, *subjects: str) -> None:
        async with patience():
            while not set(subjects) <= set(STOVES.calls):
                await asyncio.sleep(0.01)

    async def hang(self, number: int) -> None:
        async with patience():
            while len(await self.hanging()) != number:
                await asyncio.sleep(0.01)


@pytest.fixture(params=["thread", "child"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def kitchen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Kitchen]:
    monkeypatch.setattr(bulkhead, "CUT_SECONDS", 0.1)
    how = request.getfixturevalue("how") if "how" in request.fixturenames else "thread"
    STOVES.__init__(how=how)  # type: ignore[misc]
    db = open_database(f"sqlite:///{tmp_path / 'pumice.db'}")
    await db.write(lambda tx: metadata.create_all(tx.connection))
    kitchen = Kitchen(db)
    yield kitchen
    STOVES.free.set()
    await asyncio.sleep(0.05)
    for task in kitchen.tasks:
        task.cancel()
    await asyncio.gather(*kitchen.tasks, return_exceptions=True)
    await db.close()


async def test_a_step_that_hangs_is_left_behind_and_its_operation_settled_at_the_deadline(
    kitchen: Kitchen, how: str
) -> None:
    runner = kitchen.start(lease=3600)
    op = await kitchen.begin("sick", "egg")
    await kitchen.hang(1)
    await kitchen.put_down(op)
    assert await kitchen.hanging() == [("sick", "fry", "egg")]
    line = (await kitchen.db.read(log.lines, op))[-1]
    assert line["outcome"] == "retry" and "its call hangs" in line["error"] and line["place"] == "sick"
    await kitchen.overdue(runner)
    well, error = await kitchen.ended(op)
    assert not well and error == TOLD["egg"]
    await asyncio.sleep(0.1)
    assert STOVES.calls == ["egg"], "nothing was begun about it while it hangs"
    STOVES.free.set()
    await kitchen.begun("clean egg")
    await kitchen.hang(0)
    assert STOVES.back == 0, "what was cut goes no further"


async def test_notes_that_hang_with_their_disk_keep_nobody_past_the_deadline(
    kitchen: Kitchen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.operations.runner.ANSWER_SECONDS", 10 * PATIENCE)
    another = tmp_path / "witness" / "another host"
    another.mkdir(parents=True)
    os.mkfifo(notes := another / f"{now():%Y-%m-%d}.lines")  # who opens it waits in the kernel
    runner = kitchen.start(witnesses=Witnesses(Witness(another.parent, "here"), {}))
    verb = replace(FRY, deadline=2)
    runner.state_machine.verbs = {verb.kind: verb}
    op = await kitchen.begin("well", "egg", verb)
    ended = asyncio.create_task(kitchen.ended(op))
    async with patience():
        while not ended.done():
            await asyncio.wait({ended}, timeout=0.2)
            await Deadlines(kitchen.db, runner.state_machine).check()
    assert (await ended)[0] is False and STOVES.calls == []
    os.close(os.open(notes, os.O_WRONLY))


async def test_what_hangs_about_one_thing_fences_it_there_and_its_neighbours_go_on(kitchen: Kitchen) -> None:
    kitchen.start()
    await kitchen.begin("sick", "egg")
    await kitchen.hang(1)
    STOVES.hangs = "nothing"
    fenced = await kitchen.begin("sick", "egg")
    for place, subject in (("sick", "ham"), ("well", "egg")):
        other = await kitchen.begin(place, subject)
        assert await kitchen.ended(other) == (True, None)
    assert (await kitchen.row(fenced))["attempt"] == 0
    STOVES.free.set()
    assert await kitchen.ended(fenced) == (True, None)


async def test_whoever_holds_what_a_call_hangs_on_waits_as_well(kitchen: Kitchen, how: str) -> None:
    """A revert that hangs, say, of a volume to which somebody is to be connected."""
    verb = replace(FRY, kind="pan.serve", holds=lambda _: (use(Thing.VOLUME, "egg"),))
    runner = kitchen.start()
    runner.state_machine.verbs = {FRY.kind: FRY, verb.kind: verb}
    op = await kitchen.begin("sick", "egg")
    await kitchen.hang(1)
    await kitchen.put_down(op)
    await kitchen.overdue(runner)
    assert not (await kitchen.ended(op))[0]
    STOVES.hangs = "nothing"
    guest = await kitchen.begin("sick", "a guest", verb)
    elsewhere = await kitchen.begin("well", "another guest", verb)
    assert await kitchen.ended(elsewhere) == (True, None)
    assert (await kitchen.row(guest))["attempt"] == 0
    runner.leases.take(await kitchen.row(guest), time.monotonic())
    assert runner._is_fenced(from_row(verb, await kitchen.row(guest))), "also what is in hand already"
    del runner.leases.held[guest]
    STOVES.free.set()
    assert await kitchen.ended(guest) == (True, None)


def keeping(kitchen: Kitchen) -> Outside[Pan]:
    """What keeps something in a store that a place uses, and that hangs as the stoves do."""

    class Store:
        async def keep(self, subject: str) -> None:
            await in_thread(STOVES.wait, subject)

    store = kitchen.drivers.bulkheads.at("store").walled(Store())

    async def keep(op: Operation[Pan], drivers: Drivers) -> None:
        STOVES.calls.append(op.subject)
        await store.keep(op.subject)

    return keep


async def test_what_hangs_in_a_part_that_a_place_only_uses_takes_no_thread_of_the_place(
    kitchen: Kitchen,
) -> None:
    """A store of backups, say, whose disk is another than the backend's."""
    keep = keeping(kitchen)
    verb = replace(FRY, kind="pan.keep", steps=(Step(keep, at=at_place, timeout=0.2, tries=1),))
    runner = kitchen.start()
    runner.state_machine.verbs = {FRY.kind: FRY, verb.kind: verb}
    kept = [await kitchen.begin("well", f"egg {n}", verb) for n in range(12)]
    await asyncio.gather(*map(kitchen.ended, kept))
    assert kitchen.drivers.bulkheads.is_full("store")
    late = await kitchen.begin("well", "late", verb)
    assert await kitchen.ended(late) == (
        False,
        "What was begun there has not come back, and nothing more is begun.",
    )
    assert await kitchen.ended(await kitchen.begin("well", "ham")) == (True, None)
    STOVES.free.set()
    await kitchen.hang(0)


async def test_what_hangs_in_a_part_that_a_place_only_uses_keeps_no_worker_of_the_place(
    kitchen: Kitchen,
) -> None:
    """Long before its limit, which for backups is a day."""
    keep = keeping(kitchen)
    step = Step(keep, at=at_place, timeout=6000)
    verbs = [replace(FRY, kind=f"pan.keep{n}", steps=(step,)) for n in range(5)]
    runner = kitchen.start(workers=4)
    runner.state_machine.verbs = {verb.kind: verb for verb in (FRY, *verbs)}
    for n, verb in enumerate(5 * verbs):
        await kitchen.begin("well", f"egg {n}", verb, project="all of one")
    await kitchen.begun(*(f"egg {n}" for n in range(5)))
    ham = [await kitchen.begin("well", f"ham {n}", project="all of one") for n in range(8)]
    assert [await kitchen.ended(one) for one in ham] == [(True, None)] * 8
    assert runner.taken <= len(verbs) * 13, "each kind is held in check"
    STOVES.free.set()


@pytest.mark.parametrize("pools", ["sick well", "sick#a sick#b"], ids=["of another place", "of the same"])
async def test_what_hangs_in_one_pool_is_done_in_the_next_and_cleaned_when_it_is_back(
    kitchen: Kitchen, pools: str
) -> None:
    kitchen.start()
    STOVES.hangs = pools.split()[0]
    op = await kitchen.begin(pools, "egg", BAKE)
    assert await kitchen.ended(op) == (True, None)
    assert (await kitchen.row(op))["notes"]["pool"] == pools.split()[1]
    await asyncio.sleep(0.1)
    assert len(await kitchen.hanging()) == 1
    assert STOVES.calls == ["egg", "egg"], "nothing was begun about it where it hangs"
    STOVES.free.set()
    await kitchen.begun("clean egg")


async def test_what_shows_no_progress_in_one_pool_is_done_in_the_next_long_before_its_limit(
    kitchen: Kitchen,
) -> None:
    bake = replace(BAKE, steps=(CHOOSE, replace(BAKE.steps[1], timeout=600, long=True)))
    kitchen.start(silence=0.2).state_machine.verbs = {bake.kind: bake}
    op = await kitchen.begin("sick well", "egg", bake)
    assert await kitchen.ended(op) == (True, None)
    first = next(line for line in await kitchen.db.read(log.lines, op) if line["outcome"] == "failed")
    assert first["error"].startswith("'fry' told of no progress for 0.2 seconds, and its call hangs")
    assert (await kitchen.row(op))["notes"]["pool"] == "well"


async def test_what_shows_progress_may_take_its_time(kitchen: Kitchen) -> None:
    async def roast(op: Operation[Pan], drivers: Drivers) -> None:
        for n in range(25):
            op.progress = n / 25
            await asyncio.sleep(0.1)

    verb = replace(BAKE, steps=(CHOOSE, Step(roast, at=at_pool, timeout=600, long=True)))
    kitchen.start(silence=2.0).state_machine.verbs = {verb.kind: verb}
    assert await kitchen.ended(await kitchen.begin("sick well", "egg", verb)) == (True, None)


async def test_what_can_be_done_nowhere_else_may_be_silent(kitchen: Kitchen) -> None:
    async def simmer(op: Operation[Pan], drivers: Drivers) -> None:
        await asyncio.sleep(0.5)

    verb = replace(SLOW, steps=(Step(simmer, at=at_place, timeout=60, tries=1, long=True),))
    kitchen.start(silence=0.1).state_machine.verbs = {verb.kind: verb}
    assert await kitchen.ended(await kitchen.begin("well", "egg", verb)) == (True, None)


async def test_an_undo_that_takes_long_is_told_of_at_the_deadline_and_goes_on_as_cleaning(
    kitchen: Kitchen,
) -> None:
    ended = asyncio.Event()

    async def burn(op: Operation[Pan], drivers: Drivers) -> None:
        raise PumiceError("It is burnt.")

    async def scrub(op: Operation[Pan], drivers: Drivers) -> None:
        await ended.wait()

    verb = replace(FRY, steps=(Step(burn, undo=scrub, at=at_place),), deadline=2)
    kitchen.start().state_machine.verbs = {verb.kind: verb}
    op = await kitchen.begin("well", "egg", verb)
    assert await kitchen.ended(op) == (False, "It is burnt.")
    assert (await kitchen.row(op))["deadline"] < time.time()
    ended.set()
    async with patience():
        while (await kitchen.row(op))["state"] != "failed":
            await asyncio.sleep(0.01)


async def test_a_place_whose_threads_hang_gets_nothing_more(kitchen: Kitchen) -> None:
    kitchen.start()
    for n in range(12):
        await kitchen.begin("sick", f"egg {n}")
    async with patience():
        while len(await kitchen.hanging()) < 4:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    late = await kitchen.begin("sick", "late")
    other = await kitchen.begin("well", "ham")
    assert await kitchen.ended(other) == (True, None)
    assert (await kitchen.row(late))["attempt"] == 0


async def test_a_restart_of_the_host_lifts_the_fence(kitchen: Kitchen) -> None:
    kitchen.start()
    op = await kitchen.begin("sick", "egg")
    await kitchen.hang(1)
    kitchen.tasks[0].cancel()
    kitchen.drivers, STOVES.hangs = Drivers(kitchen.db), "nothing"  # as in another process
    kitchen.start(boot="2")
    assert await kitchen.ended(op) == (True, None)
    assert await kitchen.hanging() == []


async def test_creates_that_hang_at_one_place_leave_the_other_all_its_workers(kitchen: Kitchen) -> None:
    kitchen.start(workers=4)
    for n in range(20):
        await kitchen.begin("sick", f"egg {n}", SLOW, project=f"project {n}")
    async with patience():
        while len(STOVES.calls) < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    for n in range(8):
        op = await kitchen.begin("well", f"ham {n}", SLOW)
        assert await kitchen.ended(op) == (True, None)


async def test_one_project_leaves_workers_for_the_others(kitchen: Kitchen) -> None:
    kitchen.start(workers=8)
    for n in range(30):
        await kitchen.begin("sick", f"egg {n}", SLOW, project="greedy")
    async with patience():
        while len(STOVES.calls) < 4:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    STOVES.hangs = "nothing"
    op = await kitchen.begin("sick", "ham", SLOW, project="modest")
    assert await kitchen.ended(op) == (True, None)


async def test_the_next_free_worker_is_for_who_has_the_least(kitchen: Kitchen) -> None:
    kitchen.start(workers=2)
    greedy = [await kitchen.begin("sick", f"egg {n}", SLOW, project="greedy") for n in range(6)]
    await kitchen.begun("egg 0", "egg 1")
    modest = await kitchen.begin("sick", "ham", SLOW, project="modest")
    STOVES.done.add("egg 0")
    await kitchen.begun("ham")
    assert STOVES.calls == ["egg 0", "egg 1", "ham"]
    STOVES.free.set()
    for op in (*greedy, modest):
        assert await kitchen.ended(op) == (True, None)


async def test_a_flood_of_one_kind_is_not_before_the_rest_of_its_project(kitchen: Kitchen) -> None:
    kitchen.start(workers=8)
    flood = [await kitchen.begin("sick", f"egg {n}", SLOW, project="greedy") for n in range(30)]
    await kitchen.begun("egg 0", "egg 3")
    await asyncio.sleep(0.1)
    begun = len(STOVES.calls)
    ham = await kitchen.begin("sick", "ham", FRY, project="greedy")
    STOVES.done.add("egg 0")
    await kitchen.begun("ham")
    assert STOVES.calls[begun] == "ham"
    STOVES.free.set()
    for op in (*flood, ham):
        assert await kitchen.ended(op) == (True, None)


async def test_a_step_is_cut_when_the_holders_own_clock_says_that_its_lease_is_over(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    STOVES.hangs = "nothing"
    cut = asyncio.Event()

    async def cooperative(op: Operation[Pan], drivers: Drivers) -> None:
        STOVES.calls.append(op.subject)
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            cut.set()
            raise

    verb = replace(SLOW, steps=(Step(cooperative, at=at_place, timeout=600),))
    runner = kitchen.start(lease=3.6)
    runner.state_machine.verbs = {verb.kind: verb}

    async def cut_off(*_: Any) -> Any:
        await asyncio.sleep(600)

    monkeypatch.setattr(kitchen.db, "renew", cut_off)
    op = await kitchen.begin("well", "egg", verb)
    await kitchen.begun("egg")
    until = (await kitchen.row(op))["lease_until"]
    await soon(cut.wait())
    assert time.time() < until, "it was cut before anybody else may have it"


async def test_what_hangs_is_told_by_the_doctor_and_by_its_operation(
    kitchen: Kitchen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = f"CREATE TABLE alembic_version AS SELECT '{schema.HEAD}' AS version_num"
    await kitchen.db.write(lambda tx: tx.connection.exec_driver_sql(version) and None)
    kitchen.start()
    op = await kitchen.begin("sick", "egg")
    await kitchen.hang(1)
    settings = Settings(state_dir=tmp_path, backends={}, compute=Compute(driver="none"))
    finding = await asyncio.to_thread(probes.hanging_calls, settings)
    assert "'fry' at sick since" in finding.found
    await asyncio.to_thread(print_one, settings, op, as_json=False)
    assert "'fry' hangs at sick since" in " ".join(capsys.readouterr().out.split())
    STOVES.free.set()
    await kitchen.hang(0)
    assert (await asyncio.to_thread(probes.hanging_calls, settings)).found == "none"

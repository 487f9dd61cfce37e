"""The engine by itself, with a demo verb that stacks plates: one on the shelf is an effect outside."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from tests.patience import PATIENCE, patience, soon

from databases import ON_SQLITE
from pumice.model.errors import PumiceError, Retryable, TryAnotherBackend
from pumice.model.scope import INTERNAL
from pumice.model.tunables import RetryPolicy, Tunables
from pumice.operations.completions import Completions
from pumice.operations.drivers import Drivers
from pumice.operations.leases import GONE_SECONDS
from pumice.operations.operation import Operation, Step, Verb, Wait, enqueue, from_row, scheduler
from pumice.operations.runner import Runner
from pumice.operations.state_machine import FaultPoint, StateMachine, no_faults
from pumice.store import operations as log
from pumice.store import work_queue
from pumice.store.database import Database, Transaction
from pumice.store.open import open_database
from pumice.store.tables import operation_lines, operations


@dataclass(frozen=True)
class Plate:
    name: str


class Kitchen:
    """The outside world: what was washed, what is on the shelf, what was told, and what shall go wrong."""

    def __init__(self) -> None:
        self.washed: list[str] = []
        self.shelf: list[str] = []
        self.told: list[str] = []
        self.fail: dict[str, list[Exception]] = {}
        self.gate: asyncio.Event | None = None
        self.drivers: list[str] = []
        """What somebody puts on the shelf at this moment."""
        self.cut = 0

    def trip(self, where: str) -> None:
        if errors := self.fail.get(where):
            raise errors.pop(0)


KITCHEN = Kitchen()


@pytest.fixture(autouse=True)
def kitchen() -> Kitchen:
    KITCHEN.__init__()  # type: ignore[misc]
    return KITCHEN


def choose(tx: Transaction, op: Operation[Plate], tunables: Tunables) -> None:
    KITCHEN.trip("choose")
    op.notes["shelf"] = f"shelf-{op.notes.get('tried', 0)}"


def unchoose(tx: Transaction, op: Operation[Plate], tunables: Tunables) -> None:
    op.notes.pop("shelf", None)


async def wash(op: Operation[Plate], drivers: Drivers) -> None:
    KITCHEN.trip("wash")
    KITCHEN.washed.append(op.params.name)


async def put(op: Operation[Plate], drivers: Drivers) -> None:
    KITCHEN.drivers.append(op.params.name)
    try:
        if KITCHEN.gate:
            await KITCHEN.gate.wait()
    except asyncio.CancelledError:
        KITCHEN.cut += 1
        raise
    finally:
        KITCHEN.drivers.remove(op.params.name)
    entry = f"{op.params.name}@{op.notes['shelf']}"
    if entry not in KITCHEN.shelf:
        KITCHEN.shelf.append(entry)
    KITCHEN.trip("put")


async def take_off(op: Operation[Plate], drivers: Drivers) -> None:
    KITCHEN.trip("take_off")
    KITCHEN.shelf[:] = [entry for entry in KITCHEN.shelf if not entry.startswith(op.params.name + "@")]


def tell(tx: Transaction, op: Operation[Plate], tunables: Tunables) -> None:
    KITCHEN.trip("tell")
    op.notes["told"] = True


def failed(tx: Transaction, op: Operation[Plate], error: str) -> None:
    KITCHEN.told.append(f"{op.params.name}: {error}")


def cook(_: Operation[Any]) -> str:
    return "cook"


STACK = Verb(
    kind="plate.stack",
    params=Plate,
    steps=(
        Step(choose, undo=unchoose, at=scheduler, chooses=True),
        Step(wash, at=cook),
        Step(put, undo=take_off, at=cook),
        Step(tell, at=cook),
    ),
    failed=failed,
)


WASH = Verb(kind="plate.wash", params=Plate, steps=(Step(wash, at=cook),), failed=failed)


def start_two(tx: Transaction, op: Operation[Plate], tunables: Tunables) -> None:
    children = [
        enqueue(tx, STACK, Plate(f"{op.params.name}{n}"), subject="x", who=INTERNAL, parent=op) for n in (1, 2)
    ]
    op.notes["plates"] = [child.id for child in children]


SET_TABLE = Verb(
    kind="table.set",
    params=Plate,
    steps=(Step(start_two, at=scheduler), Wait("plates", at=scheduler), Step(tell, at=scheduler)),
    failed=failed,
)


class Engine:
    """A database and the way to run workers on it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.drivers = Drivers(self.db)
        self.completions = Completions(self.db)
        self.tasks: list[tuple[Runner, asyncio.Task[None]]] = []

    def start(
        self,
        boot: str = "1",
        host: str = "here",
        places: tuple[str, ...] = ("scheduler", "cook"),
        workers: int = 32,
        lease: float = 30.0,
        faults: FaultPoint = no_faults,
        db: Database | None = None,
    ) -> Runner:
        runner = Runner(
            db or self.db,
            (STACK, SET_TABLE, WASH),
            self.drivers,
            host=host,
            boot=boot,
            places=places,
            workers=workers,
            lease=lease,
            faults=faults,
            tunables=Tunables(retry_policy=RetryPolicy(first=0.01)),
        )
        self.tasks.append((runner, asyncio.create_task(runner.run())))
        return runner

    async def kill(self) -> None:
        """Drop every worker where it stands."""
        for _, task in self.tasks:
            task.cancel()
        await asyncio.gather(*(task for _, task in self.tasks), return_exceptions=True)
        self.tasks = []

    async def enqueue(self, name: str, verb: Verb[Plate] = STACK) -> str:
        op = await self.db.write(lambda tx: enqueue(tx, verb, Plate(name), subject=name, who=INTERNAL))
        return op.id

    async def ended(self, operation_id: str) -> tuple[bool, str | None]:
        return await self.completions.wait(operation_id, PATIENCE)

    async def row(self, operation_id: str) -> Any:
        return await self.db.read(log.get, operation_id)

    async def reaches(self, place: str, operation_id: str) -> None:
        """Wait until it is to go on at a place."""
        async with patience():
            while (await self.row(operation_id))["place"] != place:
                await asyncio.sleep(0.01)

    async def history(self, operation_id: str) -> list[str]:
        lines = await self.db.read(log.lines, operation_id)
        return [f"{line['direction']} {line['step']} {line['outcome']}" for line in lines]


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[Engine]:
    db = open_database(database_url)
    engine = Engine(db)
    yield engine
    await engine.kill()
    await engine.db.close()


async def test_steps_run_in_order_and_are_written_down(engine: Engine) -> None:
    engine.start()
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (True, None)
    assert KITCHEN.shelf == ["a@shelf-0"]
    assert await engine.history(op) == ["do choose done", "do wash done", "do put done", "do tell done"]


async def test_an_operation_enqueued_while_nobody_works_waits_for_a_worker(engine: Engine) -> None:
    op = await engine.enqueue("a")
    engine.start()
    assert await engine.ended(op) == (True, None)


async def test_nothing_is_enqueued_by_a_transaction_that_fails(engine: Engine) -> None:
    def work(tx: Transaction) -> None:
        enqueue(tx, STACK, Plate("a"), subject="a", who=INTERNAL)
        raise PumiceError("no")

    with pytest.raises(PumiceError):
        await engine.db.write(work)
    assert await engine.db.read(log.page, states=None, kind=None, subject=None, limit=10) == []


async def test_trouble_is_met_with_another_try(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["wash"] = [Retryable("no water"), Retryable("still none")]
    engine.start()
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (True, None)
    assert (await engine.history(op))[1:4] == ["do wash retry", "do wash retry", "do wash done"]


class SlowToAnswer:
    """A database whose subscribers hear of a commit well before who made it, as can be on PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def write(self, work: Callable[..., Any], *args: Any) -> Any:
        result = await self._db.write(work, *args)
        await asyncio.sleep(0.05)
        return result


async def test_what_is_put_down_is_looked_at_again_though_its_word_came_early(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.fail["wash"] = [Retryable("no water")]
    engine.db.poll_seconds = 3600.0
    engine.start(db=cast(Database, SlowToAnswer(engine.db)))
    op = await engine.enqueue("a", WASH)
    assert await engine.ended(op) == (True, None)


async def test_a_final_failure_is_undone_and_told_once(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["put"] = [PumiceError("it broke")]
    engine.start()
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (False, "it broke")
    assert kitchen.shelf == []
    assert kitchen.told == ["a: it broke"]
    assert (await engine.history(op))[-3:] == ["do put failed", "undo put done", "undo choose done"]


async def test_a_failing_step_on_our_own_rows_keeps_what_came_before_it(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.fail["tell"] = [PumiceError("dumb")]
    engine.start()
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (False, "dumb")
    assert (await engine.history(op))[-4:] == [
        "do put done",
        "do tell failed",
        "undo put done",
        "undo choose done",
    ]
    assert kitchen.shelf == []


async def test_a_bug_in_a_step_ends_the_operation_explained(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["tell"] = [ZeroDivisionError("oops")]
    engine.start()
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (False, "'tell' failed unexpectedly.")
    told = sa.select(operation_lines.c.error).where(operation_lines.c.error.is_not(None))
    [for_operators] = await engine.db.read(lambda tx: tx.execute(told).scalars().all())
    assert "ZeroDivisionError: oops" in for_operators


async def test_another_place_is_chosen_when_one_cannot(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["put"] = [TryAnotherBackend("shelf full")]
    engine.start()
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (True, None)
    assert kitchen.shelf == ["a@shelf-1"]


async def test_choosing_again_has_a_limit(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["put"] = [TryAnotherBackend(f"full {n}") for n in range(9)]
    engine.start()
    op = await engine.enqueue("a")
    error = "full 2. 3 backends were tried, and no more are allowed."
    assert await engine.ended(op) == (False, error)
    assert kitchen.told == [f"a: {error}"]


async def test_an_undo_in_trouble_is_tried_until_it_succeeds(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["put"] = [PumiceError("broke")]
    kitchen.fail["take_off"] = [Retryable("slippery")] * 3
    engine.start()
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (False, "broke")
    assert kitchen.shelf == []


async def test_a_killed_worker_is_replaced_at_the_next_start(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.gate = asyncio.Event()
    engine.start()
    op = await engine.enqueue("a")
    while (await engine.row(op))["position"] < 2:
        await asyncio.sleep(0.01)
    await engine.kill()
    kitchen.gate.set()
    engine.start(boot="2")
    assert await engine.ended(op) == (True, None)
    assert kitchen.shelf == ["a@shelf-0"]


async def test_a_worker_that_lost_its_lease_writes_nothing(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.gate = asyncio.Event()
    engine.start(host="slow")
    op = await engine.enqueue("a")
    while (await engine.row(op))["position"] < 2:
        await asyncio.sleep(0.01)
    attempt = (await engine.row(op))["attempt"]

    def take_over(tx: Transaction) -> Sequence[log.Row]:
        work_queue.release(tx, op, attempt, 0.0)
        return work_queue.claim(tx, work_queue.Asked(("cook",), "other:1"), 1e12, 30.0, 1)[0]

    rows = await engine.db.write(take_over)
    assert [row["id"] for row in rows] == [op]
    kitchen.gate.set()
    await asyncio.sleep(0.1)
    row = await engine.row(op)
    assert (row["owner"], row["state"], row["position"]) == ("other:1", "running", 2)


async def test_a_step_is_cut_short_when_another_worker_has_taken_over(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.gate = asyncio.Event()
    engine.start(host="slow", lease=1.0)
    op = await engine.enqueue("a")
    await until(lambda: kitchen.drivers == ["a"])
    attempt = (await engine.row(op))["attempt"]
    await engine.db.write(work_queue.release, op, attempt, 1e12)
    await until(lambda: kitchen.cut == 1)
    row = await engine.row(op)
    assert (row["owner"], row["attempt"], row["position"]) == (None, attempt + 1, 2)
    assert (await engine.history(op))[-1] == "do wash done"


async def test_a_worker_that_wakes_up_has_no_operation_twice_in_hand(engine: Engine, kitchen: Kitchen) -> None:
    """Its lease is over, but nobody else came: what it was stopped in goes on, and does not begin again."""
    kitchen.gate = asyncio.Event()
    engine.start()
    op = await engine.enqueue("a")
    await until(lambda: kitchen.drivers == ["a"])
    attempt = (await engine.row(op))["attempt"]
    await engine.db.write(lambda tx: tx.execute(operations.update().values(lease_until=0.0)) and None)
    for n in range(5):
        assert await engine.ended(await engine.enqueue(f"other {n}", WASH)) == (True, None)
    assert kitchen.drivers == ["a"]
    kitchen.gate.set()
    assert await engine.ended(op) == (True, None)
    assert (await engine.row(op))["attempt"] == attempt
    assert (await engine.history(op)).count("do put done") == 1


async def test_no_step_begins_on_a_lease_that_is_over(engine: Engine) -> None:
    stops = [1.0]

    def stop(when: str, _direction: str, step: str, _op: Operation[Any]) -> None:
        if (when, step) == ("before", "put") and stops:
            time.sleep(stops.pop())  # the whole process, as SIGSTOP would

    engine.start(lease=0.5, faults=stop)
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (True, None)
    assert not stops
    assert (await engine.row(op))["attempt"] >= 2  # a busy machine stops it once more
    assert (await engine.history(op)).count("do put done") == 1


@pytest.mark.parametrize("database_url", [pytest.param("postgresql", marks=pytest.mark.real)], indirect=True)
async def test_what_a_dead_worker_held_is_free_before_its_lease_is_over(
    engine: Engine, kitchen: Kitchen, database_url: str
) -> None:
    kitchen.gate = asyncio.Event()
    dying = open_database(database_url)
    engine.start(host="dying", lease=3600, db=dying)
    op = await engine.enqueue("a")
    await until(lambda: kitchen.drivers == ["a"])
    engine.start(host="other")
    await asyncio.sleep(GONE_SECONDS + 2)  # as long as the worker lives it is left alone
    assert (await engine.row(op))["owner"] == "dying:1"
    _, task = engine.tasks.pop(0)
    task.cancel()
    await asyncio.wait([task])
    await dying.close()
    kitchen.gate.set()
    assert await engine.ended(op) == (True, None)
    assert kitchen.shelf == ["a@shelf-0"]


async def until(true: Callable[[], bool]) -> None:
    """Wait for something in this process."""
    async with patience():
        while not true():
            await asyncio.sleep(0.01)


async def test_two_workers_never_hold_one_operation(engine: Engine) -> None:
    engine.start(host="one")
    engine.start(host="two")
    ops = [await engine.enqueue(f"p{n}") for n in range(40)]
    assert all([await engine.ended(op) == (True, None) for op in ops])
    assert len(KITCHEN.shelf) == 40
    for op in ops:
        assert len(await engine.history(op)) == 4


async def test_steps_go_to_the_worker_of_their_place(engine: Engine) -> None:
    engine.start(host="one", places=("scheduler",))
    op = await engine.enqueue("a")
    await engine.reaches("cook", op)
    assert (await engine.row(op))["owner"] is None
    engine.start(host="two", places=("cook",))
    assert await engine.ended(op) == (True, None)


async def test_only_the_workers_of_its_place_are_called_for_an_operation(engine: Engine) -> None:
    runners = {place: engine.start(boot=place, places=(place,)) for place in ("scheduler", "cook", "elsewhere")}
    looks = dict.fromkeys(runners, 0)

    def counted(place: str, look: Callable[[], Any]) -> Callable[[], Any]:
        async def counting() -> Any:
            looks[place] += 1
            return await look()

        return counting

    for place, runner in runners.items():
        while not runner._look_at or runner._called:  # each looks once at its start
            await asyncio.sleep(0.01)
        runner._look = counted(place, runner._look)  # type: ignore[method-assign]
    op = await engine.enqueue("a")
    assert await engine.ended(op) == (True, None)
    assert looks["scheduler"]
    assert looks["cook"]
    assert not looks["elsewhere"]


async def test_a_parent_waits_for_its_children(engine: Engine) -> None:
    engine.start()
    op = await engine.enqueue("t", SET_TABLE)
    assert await engine.ended(op) == (True, None)
    assert sorted(KITCHEN.shelf) == ["t1@shelf-0", "t2@shelf-0"]


async def test_a_failed_child_fails_its_parent(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["wash"] = [PumiceError("no soap")]
    engine.start()
    op = await engine.enqueue("t", SET_TABLE)
    assert await engine.ended(op) == (False, "no soap")


async def test_who_ran_out_of_time_is_told_what_was_in_the_way(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.fail["wash"] = [Retryable("no water")]
    runner = engine.start()
    runner.state_machine.tunables = Tunables(retry_policy=RetryPolicy(first=30.0))
    op = await engine.enqueue("a")
    while "do wash retry" not in await engine.history(op):
        await asyncio.sleep(0.01)
    deadline = (await engine.row(op))["deadline"]
    assert await engine.db.write(runner.state_machine.give_up, op, deadline + 1)
    _, error = await engine.ended(op)
    assert error == "It did not end in time: 'wash' was not done by the deadline. no water"


async def test_the_deadline_ends_an_operation_whose_place_stays_away(engine: Engine, kitchen: Kitchen) -> None:
    engine.start(places=("scheduler",))
    op = await engine.enqueue("a")
    await engine.reaches("cook", op)
    state_machine = StateMachine({STACK.kind: STACK}, "here:1", frozenset({"scheduler"}))
    row = await engine.row(op)
    assert await engine.db.write(state_machine.give_up, op, row["deadline"] + 1)
    well, error = await engine.ended(op)
    assert not well
    assert error == "It did not end in time: 'wash' was not done by the deadline."
    assert kitchen.told == [f"a: {error}"]
    engine.start(host="cook", places=("cook",))
    while (await engine.row(op))["state"] != "failed":
        await asyncio.sleep(0.01)
    assert len(kitchen.told) == 1


async def test_cancelling_asks_for_the_undo(engine: Engine, kitchen: Kitchen) -> None:
    engine.start(places=("scheduler",))
    op = await engine.enqueue("a")
    await engine.reaches("cook", op)
    assert await engine.db.write(log.ask_to_cancel, op)
    engine.start(host="cook", places=("cook",))
    assert await engine.ended(op) == (False, "The operation was cancelled.")


async def test_stopping_finishes_the_step_in_hand_and_hands_back_the_rest(
    engine: Engine, kitchen: Kitchen
) -> None:
    kitchen.gate = asyncio.Event()
    runner = engine.start()
    op = await engine.enqueue("a")
    while (await engine.row(op))["position"] < 2:
        await asyncio.sleep(0.01)
    runner.stop()
    await asyncio.sleep(0.05)
    kitchen.gate.set()
    await soon(engine.tasks[0][1])
    assert kitchen.shelf == ["a@shelf-0"]
    assert (await engine.row(op))["owner"] is None
    engine.start(boot="2")
    assert await engine.ended(op) == (True, None)


async def test_no_more_is_taken_than_there_are_workers(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.gate = asyncio.Event()
    ops = [await engine.enqueue(f"p{n}") for n in range(12)]
    runner = engine.start(workers=3)

    async def taken() -> int:
        rows = await engine.db.read(log.page, states=None, kind=None, subject=None, limit=20)
        return sum(row["owner"] is not None and row["place"] == "cook" for row in rows)

    while await taken() < 3:
        await asyncio.sleep(0.01)
    for _ in range(5):
        await engine.db.write(lambda tx: tx.notify(work_queue.QUEUE))
        await asyncio.sleep(0.01)
    assert await taken() == runner.shares.workers == 3
    kitchen.gate.set()
    assert all([await engine.ended(op) == (True, None) for op in ops])


@pytest.fixture
def hurry() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@ON_SQLITE
@pytest.mark.usefixtures("hurry")
async def test_transactions_that_end_at_once_take_no_more_workers_than_there_are(engine: Engine) -> None:
    """Each decides in its own thread whether its operation may go on at the next place."""
    ids = [await engine.enqueue(f"p{n}") for n in range(8)]
    rows = [await engine.row(op) for op in ids]
    runner = engine.start(workers=3)
    await engine.kill()
    comers = [replace(from_row(STACK, row), place="cook") for row in rows]
    together = threading.Barrier(len(comers))

    def comes(op: Operation[Any]) -> bool:
        together.wait(PATIENCE)
        return runner.state_machine.admits(op)

    with ThreadPoolExecutor(len(comers)) as threads:
        for _ in range(50):
            for row in rows:
                runner.leases.take(row, time.monotonic())
            assert sum(threads.map(comes, comers)) == 3


async def test_a_flood_of_one_kind_leaves_workers_for_the_others(engine: Engine, kitchen: Kitchen) -> None:
    kitchen.gate = asyncio.Event()
    flood = [await engine.enqueue(f"p{n}") for n in range(40)]
    runner = engine.start(workers=8)
    while runner.taken < 6:
        await asyncio.sleep(0.01)
    other = await engine.enqueue("q", WASH)
    assert await engine.ended(other) == (True, None)
    assert kitchen.shelf == []
    kitchen.gate.set()
    assert all([await engine.ended(op) == (True, None) for op in flood])


async def test_the_oldest_is_carried_first(engine: Engine, kitchen: Kitchen) -> None:
    """Of what waits at a place; what comes from another place of the same process need not wait."""
    ops = [await engine.enqueue(f"p{n}", WASH) for n in range(6)]
    engine.start(workers=1)
    for op in ops:
        await engine.ended(op)
    assert kitchen.washed == [f"p{n}" for n in range(6)]


async def test_ended_operations_are_forgotten_after_a_while(engine: Engine) -> None:
    engine.start()
    op = await engine.enqueue("a")
    await engine.ended(op)
    assert await engine.db.write(log.prune, 3600.0) == 0
    assert await engine.db.write(log.prune, -1.0) == 1
    assert await engine.row(op) is None
    assert await engine.history(op) == []

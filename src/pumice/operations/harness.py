"""The test that every operation passes. It ships with the engine, for those who add verbs.

Given a *scenario* (how to make a world, how to begin the operation, what must be true in the end) it runs the
operation in a fresh world for each of these, at each of its steps:

* straight
* each do twice: its first success is answered with trouble
* fail before each step, and after it
* each undo twice, after the last step has failed
* kill the worker before each step and after it, and let another one recover
* kill it at each undo as well

and afterwards nothing may be under way and the world's invariants must hold.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pumice.model.errors import PumiceError, Retryable
from pumice.operations.operation import Operation, Step, Verb
from pumice.operations.runner import Runner
from pumice.operations.state_machine import FaultPoint, no_faults
from pumice.store import operations as log
from pumice.store.database import Database

PATIENCE = 180.0
"""Seconds until an operation that has not ended counts as stuck."""
FIRST_LOOK_SECONDS = 0.2
LONGEST_LOOK_SECONDS = 0.5
"""How long to wait at first, and at most, for an operation to end, before looking all the same."""
T = TypeVar("T")


class Killed(BaseException):
    """The worker dies here: nothing after this point happens."""


class World(Protocol):
    """A world in which operations can run."""

    @property
    def db(self) -> Database:
        """The database of the world."""

    def runner(self, boot: str, faults: FaultPoint) -> Runner:
        """A worker that serves every place."""

    async def violations(self) -> list[str]:
        """Every invariant that does not hold."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """An operation to be tried."""

    verb: Verb[Any]
    world: Callable[[], AbstractAsyncContextManager[Any]]
    """Makes a fresh ``World``."""
    prepare: Callable[[Any], Awaitable[Any]]
    """Sets the stage, with a worker at work; what it returns is handed to the others."""
    begin: Callable[[Any, Any], Awaitable[str]]
    """Accepts the request, while nobody works; the operation's id."""
    check: Callable[[Any, Any, bool], Awaitable[None]]
    """Told whether the operation ended well; asserts what the tenant sees."""


@dataclass(slots=True)
class Faults:
    """What shall happen at one point, the first ``times`` it is passed; and every point that was passed."""

    at: tuple[str, str, str] | None = None
    """``do`` or ``undo``, step, ``before`` or ``after``"""
    error: BaseException | None = None
    times: int = 1
    kind: str = ""
    also: "Faults | None" = None
    passed: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, when: str, direction: str, step: str, op: Operation[Any]) -> None:
        """The fault point."""
        if op.kind == self.kind:
            self.passed.append((direction, step, when))
            if self.at == (direction, step, when) and self.times and self.error:
                self.times -= 1
                raise self.error
        if self.also:
            self.also(when, direction, step, op)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a scenario."""

    name: str
    faults: Callable[[], Faults]
    ends_well: bool | None
    """Whether it must end well; None where either is right, as long as it ends."""


def trials(verb: Verb[Any]) -> Iterator[Trial]:
    """Every trial of a verb."""
    kind = verb.kind
    steps = [step for step in verb.steps if isinstance(step, Step)]
    last = ("do", steps[-1].name, "after")

    def faults(
        at: tuple[str, str, str], error: BaseException, also: Callable[[], Faults] | None = None
    ) -> Callable[[], Faults]:
        """Fresh ones for each run of the trial."""
        return lambda: Faults(at, error, kind=kind, also=also() if also else None)

    def fails_last() -> Faults:
        return Faults(last, PumiceError("It fails at the end."), kind=kind)

    yield Trial("straight", lambda: Faults(kind=kind), True)
    for step in steps:
        if step.do:
            done = ("do", step.name, "after")
            yield Trial(f"do {step.name} twice", faults(done, Retryable("once more")), True)
            for when in ("before", "after"):
                point = ("do", step.name, when)
                yield Trial(f"fail {when} {step.name}", faults(point, PumiceError("It fails.")), False)
                yield Trial(f"kill {when} {step.name}", faults(point, Killed()), True)
        if step.undo:
            for when in ("before", "after"):
                point = ("undo", step.name, when)
                yield Trial(
                    f"undo {step.name} again ({when})", faults(point, Retryable("again"), fails_last), False
                )
                yield Trial(f"kill {when} the undo of {step.name}", faults(point, Killed(), fails_last), False)


async def perform(scenario: Scenario, trial: Trial) -> list[tuple[str, str, str]]:
    """Try once in a fresh world; return the points that were passed. Raises ``AssertionError``."""
    async with scenario.world() as world:
        async with working(world, "stage", no_faults):
            stage = await scenario.prepare(world)
            await quiet(world)
        operation_id = await scenario.begin(world, stage)
        faults = trial.faults()
        for life in range(10):
            async with working(world, f"life-{life}", faults) as worker:
                waiting = asyncio.create_task(quiet(world))
                await asyncio.wait({worker, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
                    break
        row = await world.db.read(log.get, operation_id)
        assert row is not None
        well = row["state"] == "done"
        assert trial.ends_well is None or well == trial.ends_well, f"it is {row['state']}: {row['error']}"
        assert well or row["error"], "it failed without an explanation"
        violations = await world.violations()
        assert not violations, violations
        await scenario.check(world, stage, well)
        return faults.passed


@asynccontextmanager
async def working(world: World, boot: str, faults: FaultPoint) -> AsyncIterator[asyncio.Task[None]]:
    """A worker at work for as long as this lasts; it is dropped where it stands."""
    task = asyncio.create_task(world.runner(boot, faults).run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


async def quiet(world: World) -> None:
    """Wait until nothing is under way. Raises ``AssertionError`` naming what is, when patience ends."""
    what: list[str] = []

    async def look() -> bool | None:
        rows = await world.db.read(log.page, states=log.UNDER_WAY, kind=None, subject=None, limit=5)
        what[:] = [
            f"{row['kind']} {row['state']} at {row['steps'][row['position']]}: {row['error']}" for row in rows
        ]
        return None if rows else True

    try:
        await eventually(world.db, look)
    except TimeoutError:
        raise AssertionError(f"stuck: {what}") from None


async def eventually(db: Database, look: Callable[[], Awaitable[T | None]], seconds: float = PATIENCE) -> T:
    """What ``look`` finds, as soon as that is not None. Raises ``TimeoutError`` when it finds nothing.

    It looks whenever an operation has ended, and seldom besides: who looks too often delays what he waits for.
    """
    told, pause = asyncio.Event(), FIRST_LOOK_SECONDS

    def hear(topic: str) -> None:
        if topic.startswith(log.ended_topic("")):
            told.set()

    unsubscribe = db.subscribe(hear)
    try:
        async with asyncio.timeout(seconds):
            while (found := await look()) is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await told.wait()
                told.clear()
                pause = min(pause * 2, LONGEST_LOOK_SECONDS)
            return found
    finally:
        unsubscribe()

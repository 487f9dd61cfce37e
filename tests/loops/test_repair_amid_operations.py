"""Every loop of repair, without any grace, after every single act of every operation: it touches nothing.

The worker's database and drivers are wrapped: whenever it has committed something all loops look and repair,
and after each call of a driver all that look outside. The trials of the harness are run so, with their
failures, deaths and undos; but not those *before* a step, which differ from those after the step before it in
nothing that a loop sees.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import structlog
from fake_world import FakeWorld
from test_every_verb import SCENARIOS, shortened

from pumice.loops.audit import OUTSIDE, ROWS
from pumice.loops.violation import Repair
from pumice.operations.drivers import Drivers
from pumice.operations.harness import Trial, perform, trials
from pumice.store import work_queue
from pumice.store.database import Database

WITHOUT_EFFECT = (work_queue.claim_shares, work_queue.release_earlier)
"""Transactions of the worker that no loop can misunderstand, and that come every few milliseconds."""


@dataclass
class Meddler:
    """All loops of repair, working on the real things from the moment the operation begins."""

    drivers: Drivers
    has_begun: bool = False
    times: int = 0
    outside: list[Repair] = field(init=False)
    rows: Repair = field(init=False)

    def __post_init__(self) -> None:
        self.outside = [Repair(look.at, self.drivers, grace=0) for look in OUTSIDE]
        self.rows = Repair(ROWS.at, self.drivers, grace=0)

    async def __call__(self, *, rows: bool) -> None:
        """``rows``: whether they can have changed since the last time."""
        if not self.has_begun:
            return
        self.times += 1
        for repair in (*self.outside, *([self.rows] if rows else [])):
            await repair.run()


class Meddled:
    """A driver, between whose calls somebody meddles."""

    def __init__(self, driver: object, meddle: Meddler) -> None:
        self._driver, self._meddle = driver, meddle

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._driver, name)
        if not inspect.iscoroutinefunction(call):
            return call

        async def meddled(*args: Any, **kwargs: Any) -> Any:
            result = await call(*args, **kwargs)
            await self._meddle(rows=False)
            return result

        return meddled


class MeddledDatabase:
    """A database, after whose commits somebody meddles."""

    def __init__(self, db: Database, meddle: Meddler) -> None:
        self._db, self._meddle = db, meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def write(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = await self._db.write(work, *args, **kwargs)
        if not any(work is one for one in WITHOUT_EFFECT):
            await self._meddle(rows=True)
        return result


@asynccontextmanager
async def meddled_world(world_of: Callable[[], Any], met: list[Meddler]) -> AsyncIterator[FakeWorld]:
    async with world_of() as world:
        meddle = Meddler(world.drivers)
        met.append(meddle)
        db = cast(Database, MeddledDatabase(world.db, meddle))

        def wrapped(drivers: Any) -> Any:
            return {place: Meddled(driver, meddle) for place, driver in drivers.items()}

        drivers = replace(
            world.drivers,
            db=db,
            backends=wrapped(world.drivers.backends),
            targets=wrapped(world.drivers.targets),
            hypervisors=wrapped(world.drivers.hypervisors),
        )
        meddled = MeddledWorld(
            db, drivers, world.tunables, world.backends, world.target, world.machines, world.directory
        )
        meddled.plain = world
        yield meddled


class MeddledWorld(FakeWorld):
    """Is audited as it really is."""

    plain: FakeWorld

    async def violations(self) -> list[str]:
        return await self.plain.violations()


def is_tried(trial: Trial) -> bool:
    """Whether it differs here from its neighbour."""
    return "before" not in trial.name or trial.name.startswith("undo")


@pytest.mark.parametrize(
    ("name", "trial"),
    [
        param
        for name, scenario in SCENARIOS.items()
        for param in shortened(name, filter(is_tried, trials(scenario.verb)), one_in=8)
    ],
)
async def test_no_loop_touches_what_an_operation_is_about(name: str, trial: Trial) -> None:
    met: list[Meddler] = []
    scenario = SCENARIOS[name]

    async def begin(world: Any, stage: Any) -> str:
        met[0].has_begun = True
        return await scenario.begin(world, stage)

    with structlog.testing.capture_logs() as logged:
        await perform(replace(scenario, world=lambda: meddled_world(scenario.world, met), begin=begin), trial)
    assert met[0].times
    assert not [line for line in logged if line["event"].startswith(("violation.", "orphan."))]

"""A database is restored from a backup in which an operation is under way that has gone on since.

Whatever it is, and wherever it was: nothing that it made or wrote is written again or removed, and it ends with
a sentence. What only connects is carried on.
"""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from fake_world import FakeWorld
from test_every_verb import SCENARIOS

from pumice.model.errors import PumiceError
from pumice.operations.harness import Scenario, quiet, working
from pumice.operations.operation import Operation, Step
from pumice.operations.state_machine import WENT_ON, no_faults
from pumice.store import operations
from pumice.store.sqlite import SqliteDatabase
from pumice.volumes.migrate_in_use import MIGRATE_IN_USE
from pumice.volumes.moving import note_copied

WRITES = frozenset(
    {"create", "create_from_volume", "create_from_snapshot", "create_from_image", "delete", "extend", "revert"}
    | {"create_snapshot", "delete_snapshot", "adopt", "put_aside", "put_back", "give_up", "discard", "write"}
    | {"restore", "free", "define", "make_local_disk", "mirror", "switch"}
)
"""What drivers do to bytes, to backups and to the disks of machines."""


TURNS_BACK = {MIGRATE_IN_USE.kind: note_copied.__name__}
"""The last step after which a verb is undone, where that is not its last."""


class Watched:
    """A driver whose writing calls are noted."""

    def __init__(self, driver: Any, calls: list[str]) -> None:
        self._driver, self._calls = driver, calls

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            self._calls.append(name)
        return getattr(self._driver, name)


class Backup:
    """A fault point that copies the database when it passes a step; another may fail."""

    def __init__(self, world: FakeWorld, direction: str, step: str, fails_at: str | None) -> None:
        assert isinstance(world.db, SqliteDatabase)
        self.source, self.copy = world.directory / "pumice.db", world.directory / "backup.db"
        self.point, self.fails_at = ("before", direction, step), fails_at

    def __call__(self, when: str, direction: str, step: str, op: Operation[Any]) -> None:
        if (when, direction, step) == self.point and not self.copy.exists():
            with sqlite3.connect(self.source) as source, sqlite3.connect(self.copy) as copy:
                source.backup(copy)
        if (when, direction, step) == ("after", "do", self.fails_at):
            raise PumiceError("It fails at the end.")


def trials() -> Iterator[Any]:
    """Each step outside of each verb, on the way there and on the way back; one in two is ``long``, in turn."""
    for number, (scenario, direction, step, fails_at, name) in enumerate(_trials()):
        marks = [pytest.mark.long] if (number + number // 2) % 2 else []
        yield pytest.param(scenario, direction, step, fails_at, id=f"{name}: {direction} {step}", marks=marks)


def _trials() -> Iterator[tuple[Scenario, str, str, str | None, str]]:
    for name, scenario in SCENARIOS.items():
        steps = [step for step in scenario.verb.steps if isinstance(step, Step)]
        for step in steps:
            for direction in ("do", "undo"):
                if step.work(direction == "undo")[1]:
                    fails_at = (
                        TURNS_BACK.get(scenario.verb.kind, steps[-1].name) if direction == "undo" else None
                    )
                    yield scenario, direction, step.name, fails_at, name


def makes_bytes(trial: Any) -> bool:
    """Whether it is of a step at a backend, which may make, replace or remove bytes."""
    scenario, _, name, _ = trial.values
    step = next(it for it in scenario.verb.steps if it.name == name)
    return step.at.role == "volume" and not scenario.verb.spares_bytes


@pytest.mark.parametrize(("scenario", "direction", "step", "fails_at"), list(trials()))
async def test_what_went_on_since_is_left_as_it_is(
    scenario: Scenario, direction: str, step: str, fails_at: str | None
) -> None:
    async with scenario.world() as world:
        world.witness = world.directory / "witness"
        await goes_on_and_is_restored(world, scenario, direction, step, fails_at)


AT_BACKENDS = [it for it in trials() if makes_bytes(it) and it.values[1] == "do"]


@pytest.mark.parametrize(("scenario", "direction", "step", "fails_at"), AT_BACKENDS)
async def test_what_another_host_did_or_one_whose_notes_are_gone_is_known_where_the_bytes_are(
    scenario: Scenario, direction: str, step: str, fails_at: str | None
) -> None:
    """The state directory was restored with the database; or another member of the cluster takes it up."""
    async with scenario.world() as world:
        world.witness, world.beside = world.directory / "witness", world.directory / "beside"
        world.beside.mkdir()
        await goes_on_and_is_restored(world, scenario, direction, step, fails_at, another="another's")


async def goes_on_and_is_restored(
    world: FakeWorld,
    scenario: Scenario,
    direction: str,
    step: str,
    fails_at: str | None,
    another: str = "witness",
) -> None:
    """A backup is made of what is under way, it goes on, and then the backup is all there is."""
    async with working(world, "stage", no_faults):
        stage = await scenario.prepare(world)
        await quiet(world)
    operation_id = await scenario.begin(world, stage)
    backup = Backup(world, direction, step, fails_at)
    async with working(world, "before", backup):
        await quiet(world)
    assert backup.copy.exists()

    world.witness = world.directory / another
    async with closing(SqliteDatabase(backup.copy)) as world.db:
        calls = await lives_again(world)
        row = await world.db.read(operations.get, operation_id)

    assert row is not None and row["state"] in ("done", "failed")
    if not scenario.verb.spares_bytes:
        assert not calls
        assert WENT_ON in row["error"] or fails_at


@contextlib.asynccontextmanager
async def closing(db: SqliteDatabase) -> AsyncIterator[SqliteDatabase]:
    try:
        yield db
    finally:
        await db.close()


async def lives_again(world: FakeWorld) -> list[str]:
    """Let workers carry what is under way in a copy, beside what is outside now. What they write there."""
    calls: list[str] = []
    store = world.drivers.backups
    world.drivers = replace(
        world.drivers,
        db=world.db,
        backends={name: Watched(it, calls) for name, it in world.backends.items()},
        hypervisors={name: Watched(it, calls) for name, it in world.drivers.hypervisors.items()},
        backups=Watched(store, calls) if store else None,
    )
    async with working(world, "after", no_faults):
        await quiet(world)
    return calls

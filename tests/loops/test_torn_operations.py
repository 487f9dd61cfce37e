"""An operation whose row was torn stops nobody, is told by name, and is settled at its deadline."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from fake_world import TENANT, FakeWorld, fake_world

from pumice.loops.deadlines import Deadlines
from pumice.model.tunables import Tunables
from pumice.operations.harness import working
from pumice.operations.state_machine import no_faults
from pumice.store import operations
from pumice.store.database import Transaction
from pumice.volumes import create

TORN = {
    "sqlite": ("{torn", "", "\\xff", "[]", '"a word"', "null", '{"a": 1e999'),
    "postgresql": ("[]", '"a word"', "null", '{"a": 1e999}', '{"a": "\\ud800"}'),
}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[FakeWorld]:
    async with fake_world(database_url=database_url, tunables=Tunables(quotas={})) as world:
        yield world


async def torn_ones(world: FakeWorld) -> dict[str, str]:
    """Creates under way, by their operations' ids their volumes': of each one value is torn."""
    found = {}

    def tear(tx: Transaction, operation_id: str, column: str, text: str) -> None:
        kind = "" if tx.connection.dialect.name == "sqlite" else "::json"
        words = sa.text(f"UPDATE operations SET {column} = (:text){kind} WHERE id = :id")  # noqa: S608
        tx.execute(words, {"text": text, "id": operation_id})

    for column in ("params", "notes", "steps"):
        for text in TORN["sqlite" if "Sqlite" in type(world.db).__name__ else "postgresql"]:
            if column == "steps" and text == "[]":
                continue
            volume = await world.db.write(create.accept, TENANT, create.Wanted(size=1), world.tunables)
            assert volume.operation_id
            await world.db.write(tear, volume.operation_id, column, text if text != "\\xff" else b"\xff")
            found[volume.operation_id] = volume.id
    return found


async def test_what_is_torn_stops_nobody_is_told_and_is_settled_in_time(world: FakeWorld) -> None:
    torn = await torn_ones(world)
    async with working(world, "at-work", no_faults):
        healthy = await world.a_volume()

        async def unread() -> set[str]:
            rows = await world.db.read(operations.page, states=("running",), kind=None, subject=None, limit=100)
            return {row["id"] for row in rows if row["unread"]}

        while not torn.keys() <= await unread():
            await world.a_volume()
        told = " ".join(await world.violations())
        assert all(operation_id in told for operation_id in torn)

    late = sa.text("UPDATE operations SET deadline = 1 WHERE state = 'running'")
    await world.db.write(lambda tx: tx.execute(late) and None)
    await Deadlines(world.db, world.runner("here").state_machine).check()
    for operation_id, volume_id in torn.items():
        found = await world.db.read(operations.get, operation_id)
        assert found is not None and found["settled"] and "did not end in time" in found["error"]
        assert await world.volume_status(volume_id) == "error"
    assert await world.volume_status(healthy) == "available"


@pytest.mark.parametrize(
    "torn",
    [
        "deadline = 'abc', lease_until = 'xyz'",
        "run_at = 'abc', deadline = 1",
        "position = 'q', settled = 'maybe', cancelled = 'x'",
        "place = CAST(X'ff41' AS TEXT), kind = CAST(X'ff41' AS TEXT)",
        "created_at = 'once', attempt = 'many'",
    ],
)
async def test_whatever_column_is_torn_the_others_go_on(torn: str) -> None:
    """SQLite keeps anything in any column."""
    async with fake_world() as world, working(world, "at-work", no_faults):
        await world.a_volume()
        free = "state = 'running', owner = NULL, lease_until = NULL, "
        free = free if "lease" not in torn else "state = 'running', owner = NULL, "
        words = sa.text(f"UPDATE operations SET {free}{torn}")  # noqa: S608
        await world.db.write(lambda tx: tx.execute(words) and None)
        for _ in range(2):
            await world.a_volume()
        await Deadlines(world.db, world.runner("here").state_machine).check()
        assert (
            await world.violations() != [] or "CAST" in torn
        )  # of a place that nobody serves its deadline tells
        await world.a_volume()

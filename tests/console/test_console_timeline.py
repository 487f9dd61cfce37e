"""What is under way, as it is shown: how far a copy is, how fast, how long it takes still, and its cancel."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import expect
from pumice_process import PumiceProcess
from tests.console.conftest import Enter
from tests.console.people import ask, make

from pumice.model.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="session")
FORMAT = "%Y-%m-%d %H:%M:%S.%f"


@contextlib.contextmanager
def copying(
    cloud: PumiceProcess, volume: str, progress: float, seconds: float
) -> Iterator[tuple[str, datetime]]:
    """A long step of a volume that another process has in hand for so many seconds: its id, and now."""
    path, at, operation = cloud.state_dir / "pumice.db", datetime.now(UTC), new_id()
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as db:
        db.row_factory = sqlite3.Row
        done = db.execute("SELECT * FROM operations WHERE subject = ? AND kind = 'volume.create'", [volume])
        row: dict[str, Any] = dict(done.fetchone())
        row |= {"id": operation, "state": "running", "position": 1, "progress": progress, "settled": False}
        row |= {"settled_at": None, "finished_at": None, "owner": "elsewhere:1", "place": "volume:elsewhere"}
        row |= {"lease_until": time.time() + 3600, "deadline": time.time() + 3600, "ended_number": None}
        row |= {"began_number": None, "created_at": (at - timedelta(seconds=seconds)).strftime(FORMAT)}
        line = {"operation_id": operation, "step": "claim_space", "direction": "do", "outcome": "done"}
        line |= {"place": "scheduler", "attempt": 1, "started_at": row["created_at"], "seconds": 0}
        with db:
            for table, values in (("operations", row), ("operation_lines", line)):
                marks = ", ".join("?" * len(values))
                db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", [*values.values()])  # noqa: S608
        try:
            yield operation, at
        finally:
            with db:
                db.execute("DELETE FROM operation_lines WHERE operation_id = ?", [operation])
                db.execute("DELETE FROM operations WHERE id = ?", [operation])


async def test_a_copy_tells_its_rate_and_the_time_left_and_turns_back_for_who_may_cancel_it(
    cloud: PumiceProcess, enter: Enter
) -> None:
    volume = await asyncio.to_thread(make, cloud, "demo", "half copied", size=4)
    cloud.settle()
    with copying(cloud, volume, 0.5, 20) as (operation, at):
        for name in ("reader", "demo"):
            visitor = await enter(cloud, name)
            await visitor.page.clock.set_fixed_time(at)
            await visitor.open(f"/console/volumes/{volume}")
            await expect(visitor.panel("History")).to_contain_text("50 %, 102 MiB a second, about 20 s left")
            bar = visitor.panel("History").get_by_role("progressbar", name="make bytes: 50 %")
            await expect(bar).to_be_visible()
            await visitor.open(f"/console/operations/{operation}")
            await visitor.sees("50 %, 2.5 % a second, about 20 s left")
            await visitor.keep_pictures("copy")
            cancel = visitor.main.get_by_role("button", name="Cancel operation")
            await expect(cancel).to_have_count(1 if name == "demo" else 0)
        await cancel.click()
        await expect(visitor.page.get_by_role("status")).to_contain_text("It turns back")
        await visitor.sees("It was asked to turn back.")
        await expect(cancel).to_have_count(0)
        assert ask(cloud, "demo", "GET", f"/pumice/v1/operations/{operation}")["operation"]["cancelled"]

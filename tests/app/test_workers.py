"""The keeper of the API's workers: one that hangs is ended, and another takes its place, if that can start."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from postgres_server import PostgresServer
from pumice.app.workers import SILENT_SECONDS
from pumice_installation import Installation, state_directory

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

FAKE = {
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
}


@pytest.fixture
def pumice(postgres: PostgresServer) -> Iterator[Installation]:
    """An API of two workers."""
    name = postgres.take()
    with state_directory() as state:
        pumice = Installation(state, postgres.url(name), **FAKE)
        try:
            pumice.launch("api", "--workers", "2")
            pumice.wait(lambda: pumice.log("api").count("serving") == 2, "they do not serve")
            yield pumice
        finally:
            pumice.close()
    postgres.give_back(name)


def workers(pumice: Installation) -> list[int]:
    keeper = pumice.processes["api"].pid
    return [*map(int, Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split())]


def test_a_worker_that_hangs_is_replaced(pumice: Installation) -> None:
    hung, well = workers(pumice)
    os.kill(hung, signal.SIGSTOP)
    pumice.wait(
        lambda: hung not in (now := workers(pumice)) and len(now) == 2, "it is not replaced", 2 * SILENT_SECONDS
    )
    assert well in workers(pumice)
    assert "worker.hangs" in pumice.log("api")
    pumice.wait(lambda: pumice.log("api").count("serving") == 3, "the new one does not serve")
    assert pumice.stop("api") == 0


def test_workers_that_cannot_start_are_not_tried_again_and_their_keeper_ends_with_the_last(
    pumice: Installation,
) -> None:
    """As after an upgrade of the schema: whatever version is installed by now is to be started."""
    pumice.rows("UPDATE alembic_version SET version_num = '9999'")
    ill, well = workers(pumice)
    os.kill(ill, signal.SIGKILL)
    pumice.wait(lambda: "worker.refused" in pumice.log("api"), "it is not refused")
    pumice.wait(lambda: workers(pumice) == [well], "it is tried again")
    assert pumice.answers()
    os.kill(well, signal.SIGKILL)
    assert pumice.processes["api"].wait(PATIENCE) == 1
    assert pumice.log("api").count("worker.refused") == 2

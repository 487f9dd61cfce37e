"""A keeper and its workers: one that hangs is ended, and another takes its place, if that can start."""

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
def nothing(postgres: PostgresServer) -> Iterator[Installation]:
    """What has not begun to serve."""
    name = postgres.take()
    with state_directory() as state:
        pumice = Installation(state, postgres.url(name), **FAKE)
        try:
            yield pumice
        finally:
            pumice.close()
    postgres.give_back(name)


@pytest.fixture
def pumice(nothing: Installation) -> Installation:
    """An API of two workers."""
    nothing.launch("api", "--workers", "2")
    nothing.wait(lambda: nothing.log("api").count("serving") == 2, "they do not serve")
    return nothing


@pytest.fixture
def whole(nothing: Installation) -> Installation:
    """Every role: two processes for the API, one for each other."""
    nothing.launch("serve", "--workers", "2")
    nothing.wait(
        lambda: (nothing.log("serve").count("serving"), nothing.log("serve").count("working")) == (2, 3),
        "they do not all work",
    )
    nothing.log_in()
    return nothing


def workers(pumice: Installation, name: str = "api") -> list[int]:
    """Its processes in the order of their starts: the API's, then compute, scheduler, volume."""
    keeper = pumice.processes[name].pid
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


def test_of_a_whole_pumice_each_role_may_die_and_the_others_go_on(whole: Installation) -> None:
    first = whole.create("first")
    whole.becomes(f"/volume/v3/volumes/{first}", "volume", "available")
    before = workers(whole, "serve")
    assert len(before) == 5
    for place in (1, 2, 3, 4):
        os.kill(before[place], signal.SIGKILL)
    whole.wait(whole.answers, "the other does not answer")
    second = whole.create("second")
    whole.becomes(f"/volume/v3/volumes/{second}", "volume", "available")
    whole.wait(lambda: len(workers(whole, "serve")) == 5, "not all five are there again")
    assert set(workers(whole, "serve")) & set(before) == {before[0]}
    assert whole.log("serve").count("worker.died") == 4
    ends = workers(whole, "serve")
    assert whole.stop("serve") == 0
    assert not [process for process in ends if Path(f"/proc/{process}").exists()]


def test_whose_keeper_is_killed_ends_with_it(whole: Installation) -> None:
    left = workers(whole, "serve")
    whole.kill("serve")
    whole.wait(lambda: not any(Path(f"/proc/{process}").exists() for process in left), "some go on")


def test_where_a_role_cannot_be_had_the_keeper_says_so_and_ends(nothing: Installation) -> None:
    nothing.launch("compute")
    nothing.wait(lambda: "working" in nothing.log("compute"), "it does not work")
    assert nothing.launch("serve", "--workers", "1").wait(PATIENCE) == 1
    nothing.processes.pop("serve")
    assert "worker.refused" in nothing.log("serve")
    assert "No process can be started as compute" in nothing.log("serve")
    nothing.stop("compute")


def test_several_processes_are_refused_on_sqlite() -> None:
    with state_directory() as state:
        pumice = Installation(state, **FAKE)
        try:
            refused = pumice.command("serve", "--workers", "2")
            assert (refused.returncode, "SQLite is for one process" in refused.stderr) == (1, True), refused
        finally:
            pumice.close()

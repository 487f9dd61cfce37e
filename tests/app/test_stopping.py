"""Told to stop, a process finishes the steps in hand and drops none; told twice it ends at once."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from tests.patience import PATIENCE

from postgres_server import PostgresServer
from pumice_installation import ATTACHMENTS, VOLUMES, Installation, state_directory

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

LONG = 4.0
"""Seconds that a step takes: longer than it takes to be told to stop."""


@pytest.fixture
def pumice(postgres: PostgresServer) -> Iterator[Installation]:
    name = postgres.take()
    backends = json.dumps({"fake": {"driver": "fake", "target": "fake"}})
    with state_directory() as state:
        installation = Installation(
            state, postgres.url(name), PUMICE_BACKENDS=backends, PUMICE_COMPUTE__DRIVER="fake"
        )
        try:
            yield installation
        finally:
            installation.close()
    postgres.give_back(name)


def start(pumice: Installation, **slow: str) -> None:
    """Every role that volumes need, in the environment ``slow``."""
    for name in ("api", "scheduler", "volume"):
        pumice.launch(name, **slow)
    pumice.log_in()
    pumice.wait(lambda: pumice.is_up("scheduler", "volume"), "its services do not come up")


def slow_backend(seconds: float) -> dict[str, str]:
    return {"PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake", "delay": seconds}})}


def create(pumice: Installation) -> str:
    return str(pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"])


@contextmanager
def standing_still(pumice: Installation, name: str) -> Iterator[None]:
    """A process does nothing meanwhile, and is in no transaction that others would wait for."""
    process = pumice.processes[name]
    process.send_signal(signal.SIGSTOP)
    while pumice.rows("SELECT pid FROM pg_stat_activity WHERE state != 'idle' AND pid != pg_backend_pid()"):
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGSTOP)
    yield
    process.send_signal(signal.SIGCONT)


def in_hand(pumice: Installation, place: str) -> list[str]:
    """The operations that a worker of this place has at the moment."""
    held = f"place LIKE '{place}%' AND owner IS NOT NULL AND state IN ('running', 'undoing')"
    return pumice.rows(f"SELECT id FROM operations WHERE {held}")  # noqa: S608


def history(pumice: Installation, step: str) -> list[str]:
    """How often a step ended, and how."""
    return pumice.rows(f"SELECT outcome FROM operation_lines WHERE step = '{step}'")  # noqa: S608


def ended(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    began = time.monotonic()
    return process.wait(PATIENCE), time.monotonic() - began


def test_a_volume_process_finishes_its_steps_and_the_next_does_not_do_them_again(pumice: Installation) -> None:
    start(pumice, **slow_backend(LONG))
    with standing_still(pumice, "volume"):  # so that it begins with all of them at once
        volumes = [create(pumice) for _ in range(3)]
        pumice.wait(lambda: history(pumice, "claim_space") == ["done"] * 3, "no pool is chosen")
    pumice.wait(lambda: len(in_hand(pumice, "volume:")) == 3, "the steps do not begin")
    process = pumice.processes.pop("volume")
    process.terminate()
    code, seconds = ended(process)
    assert code == 0
    assert seconds > 1, "it went away in the middle of a step"
    assert history(pumice, "make_bytes") == ["done"] * 3
    assert in_hand(pumice, "volume:") == [], "it took something with it"
    pumice.launch("volume")
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert history(pumice, "make_bytes") == ["done"] * 3


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_told_twice_it_ends_at_once_and_the_next_does_the_step_again(
    pumice: Installation, first: signal.Signals
) -> None:
    start(pumice, **slow_backend(2 * LONG))
    volume = create(pumice)
    pumice.wait(lambda: bool(in_hand(pumice, "volume:")), "the step does not begin")
    process = pumice.processes.pop("volume")
    process.send_signal(first)
    pumice.wait(lambda: "cinder-volume" not in pumice.services_up(), "it does not heed the first")
    process.send_signal(first)
    code, seconds = ended(process)
    assert code == -first
    assert seconds < 20
    assert "stopped.at_once" in pumice.log("volume")
    pumice.launch("volume")
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert history(pumice, "make_bytes") == ["done"]


def test_schedulers_told_to_stop_one_after_the_other_lose_no_choice(pumice: Installation) -> None:
    start(pumice)
    volumes = []
    for _ in range(2):
        volumes += [create(pumice) for _ in range(10)]
        works = pumice.log("scheduler").count("working")
        assert pumice.stop("scheduler") == 0
        pumice.launch("scheduler")
        pumice.wait(lambda works=works: pumice.log("scheduler").count("working") > works, "it does not start")
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert history(pumice, "claim_space") == ["done"] * 20


def test_the_api_ends_the_requests_in_hand(pumice: Installation) -> None:
    """An initialize_connection waits for its operation: the answer still comes."""
    start(pumice, **slow_backend(LONG))
    volume = create(pumice)
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    wanted = {"attachment": {"volume_uuid": volume, "connector": {"initiator": "iqn.2026-11.org.example:c"}}}
    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(pumice.http.post, ATTACHMENTS, json=wanted)
        pumice.wait(lambda: bool(in_hand(pumice, "volume:")), "the request does not come in")
        assert pumice.stop("api") == 0
        assert asking.result(PATIENCE).status_code == 200

"""A real Pumice tells a real RabbitMQ, and a listener of oslo.messaging's hears it (``make notifications``)."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.notification_listener import Heard, listening
from tests.patience import PATIENCE
from tests.pumice_installation import VOLUMES, Installation, state_directory
from tests.rabbit_server import SCRIPTS, RabbitServer

pytestmark = [
    pytest.mark.real,
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not SCRIPTS.is_dir(), reason="there is no RabbitMQ: scripts/setup notifications"),
    pytest.mark.filterwarnings("ignore:eventletutils module is deprecated"),
]
BOTH = ("volume.create.start", "volume.create.end")


@pytest.fixture(scope="module")
def rabbit() -> Iterator[RabbitServer]:
    server = RabbitServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def a_pumice(state: Path, rabbit: RabbitServer, topic: str) -> Iterator[Installation]:
    settings = {
        "PUMICE_COMPUTE__DRIVER": "none",
        "PUMICE_NOTIFICATIONS__TRANSPORT_URL": rabbit.url,
        "PUMICE_NOTIFICATIONS__TOPICS": json.dumps([topic]),
    }
    pumice = Installation(state, **settings)
    try:
        pumice.launch("serve")
        pumice.log_in()
        pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "its backend does not come up")
        yield pumice
    finally:
        pumice.close()
        pumice.end_daemons()


def make(pumice: Installation) -> str:
    volume: str = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
    return volume


def until(found: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < give_up, what
        time.sleep(0.05)


def told(heard: Heard, volumes: list[str]) -> bool:
    """Whether each of them was told to begin and to end."""
    return all({payload["volume_id"] for payload in heard.of(event)} >= {*volumes} for event in BOTH)


def test_a_listener_of_cinders_hears_pumice(rabbit: RabbitServer) -> None:
    with (
        state_directory() as state,
        listening(rabbit.url, "plain") as heard,
        a_pumice(state, rabbit, "plain") as pumice,
    ):
        volumes = [make(pumice) for _ in range(5)]
        until(lambda: told(heard, volumes), "the listener does not hear of them")
        pumice.call("DELETE", f"{VOLUMES}/{volumes[0]}")
        until(lambda: heard.of("volume.delete.end"), "the listener does not hear of the end")
        [gone] = heard.of("volume.delete.end")
        assert (gone["volume_id"], gone["status"], gone["size"]) == (volumes[0], "deleted", 1)
        assert len({key for *_, key in heard.all}) == len(heard.all) == 12, "each once, where nothing fails"
        found = pumice.command("doctor").stdout
        assert "notifications" in found
        shown = pumice.command("settings").stdout
        assert "guest:guest" not in shown + found


def test_none_is_lost_when_the_broker_is_killed_and_comes_back(rabbit: RabbitServer) -> None:
    with state_directory() as state, a_pumice(state, rabbit, "killed") as pumice:
        with listening(rabbit.url, "killed") as heard:
            before = [make(pumice) for _ in range(2)]
            until(lambda: told(heard, before), "the listener does not hear of them")
        rabbit.kill()
        began = time.monotonic()
        meanwhile = [make(pumice) for _ in range(3)]
        pumice.settle()
        assert time.monotonic() - began < 30, "nobody waits for the broker"
        rabbit.start()
        with listening(rabbit.url, "killed") as heard:
            until(lambda: told(heard, meanwhile), "what was meanwhile is not told")


def test_a_broker_that_hangs_costs_nothing_but_lateness(rabbit: RabbitServer) -> None:
    with (
        state_directory() as state,
        listening(rabbit.url, "hangs") as heard,
        a_pumice(state, rabbit, "hangs") as pumice,
    ):
        before = [make(pumice)]
        until(lambda: told(heard, before), "the listener does not hear of it")
        rabbit.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            meanwhile = [make(pumice) for _ in range(3)]
            pumice.settle()
            assert time.monotonic() - began < 30, "nobody waits for the broker"
        finally:
            rabbit.signal(signal.SIGCONT)
        until(lambda: told(heard, meanwhile), "what was meanwhile is not told")


def test_none_is_lost_when_pumice_is_killed(rabbit: RabbitServer) -> None:
    with (
        state_directory() as state,
        listening(rabbit.url, "victim") as heard,
        a_pumice(state, rabbit, "victim") as pumice,
    ):
        volumes = [make(pumice) for _ in range(10)]
        pumice.processes["serve"].kill()
        pumice.processes["serve"].wait()
        pumice.launch("serve")
        pumice.log_in()
        pumice.settle()
        until(lambda: told(heard, volumes), "some are not told")

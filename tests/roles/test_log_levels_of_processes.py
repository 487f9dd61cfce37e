"""Log levels are set by the API in other processes, and told as those say; who is killed begins anew."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from roles_installation import Installation
from tests.pumice_installation import VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

STEPS = "pumice.operations.runner"


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    name = postgres.take()
    installation = Installation(tmp_path, postgres.url(name), PUMICE_LOG_FORMAT="json")
    yield installation
    installation.close()
    postgres.give_back(name)


def put(pumice: Installation, what: str, **asked: str) -> Any:
    answer = pumice.http.put(
        f"/volume/v3/os-services/{what}-log", json=asked, headers={"OpenStack-API-Version": "volume 3.32"}
    )
    assert answer.status_code == {"set": 202, "get": 200}[what], answer.text
    return answer.json()["log_levels"] if answer.content else None


def levels(pumice: Installation) -> dict[str, str]:
    """The level of the loggers of steps by binary."""
    return {it["binary"]: it["levels"].get(STEPS, "?") for it in put(pumice, "get", prefix=STEPS)}


def steps(pumice: Installation, role: str) -> int:
    """How many steps a process has told of, which it does at the level debug."""
    lines = [json.loads(line) for line in pumice.log(role).splitlines() if line.startswith("{")]
    return sum(line["event"] == "operation.step" for line in lines)


def make(pumice: Installation) -> None:
    pumice.becomes(f"{VOLUMES}/{pumice.create()}", "volume", "available")


def test_one_role_is_told_to_say_more_and_the_others_are_not(pumice: Installation) -> None:
    pumice.start_all()
    assert set(levels(pumice).values()) <= {"INFO", "?"}
    put(pumice, "set", binary="cinder-volume", level="debug", prefix="pumice.")
    assert levels(pumice)["cinder-volume"] == "DEBUG"
    make(pumice)
    pumice.wait(lambda: steps(pumice, "volume") > 0, "the volume service does not tell of its steps")
    assert steps(pumice, "scheduler") == 0

    pumice.kill("volume")
    said = steps(pumice, "volume")
    pumice.start("volume")
    pumice.wait(lambda: levels(pumice)["cinder-volume"] == "INFO", "who begins anew has its old levels")
    make(pumice)
    assert steps(pumice, "volume") == said


def test_what_cannot_be_reached_is_told_as_it_was(pumice: Installation) -> None:
    pumice.start_all()
    pumice.wait(lambda: levels(pumice)["cinder-scheduler"] == "INFO", "the scheduler does not say what it logs")
    pumice.processes["scheduler"].send_signal(signal.SIGSTOP)
    pumice.wait(lambda: pumice.is_stopped("scheduler"), "the scheduler is not stopped")
    put(pumice, "set", level="error", prefix="pumice.")
    assert {name: levels(pumice)[name] for name in ("cinder-volume", "cinder-scheduler")} == {
        "cinder-volume": "ERROR",
        "cinder-scheduler": "INFO",
    }
    pumice.go_on("scheduler")
    pumice.wait(lambda: levels(pumice)["cinder-scheduler"] == "ERROR", "it does not make up for it")
    assert set(levels(pumice).values()) <= {"ERROR", "?"}

"""No request waits on another's host."""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from roles_installation import FAKE, Installation
from tests.patience import PATIENCE
from tests.pumice_installation import ATTACHMENTS, VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

OUTSTANDING = 60
CONNECTOR = {"initiator": "iqn.2026-11.org.example:client", "host": "client", "ip": "127.0.0.1"}


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    """With one process for the API, so that whoever waits, waits in that one."""
    name = postgres.take()
    backends = json.dumps({"fake": {**FAKE, "delay": 0.0}})
    installation = Installation(tmp_path, postgres.url(name), PUMICE_BACKENDS=backends)
    installation.start("api")
    installation.start("scheduler")
    installation.start("volume")
    installation.log_in()
    installation.wait(lambda: installation.is_up("scheduler", "volume"), "its services do not come up")
    yield installation
    installation.close()
    postgres.give_back(name)


def test_calls_to_a_dead_host_delay_no_other_request(pumice: Installation) -> None:
    volumes = [pumice.create() for _ in range(OUTSTANDING)]
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    attachments = [reserve(pumice, volume) for volume in volumes]
    before = measured(pumice, volumes[0])
    pumice.kill("volume")
    calls = [threading.Thread(target=connect, args=(pumice, one), daemon=True) for one in attachments]
    for call in calls:
        call.start()
    waiting = "SELECT count(*) FROM operations WHERE kind = 'attachment.connect' AND state = 'running'"
    pumice.wait(lambda: pumice.rows(waiting) == [str(OUTSTANDING)], "the calls do not come to wait")
    meanwhile = measured(pumice, volumes[0])
    assert sum(call.is_alive() for call in calls) == OUTSTANDING, "they were answered meanwhile"
    print(f"GET and POST took {before} s; with {OUTSTANDING} calls outstanding {meanwhile} s")
    for now, then in zip(meanwhile, before, strict=True):
        assert now < 2 + 5 * then, "they wait on the dead host too"
    pumice.start("volume")
    for call in calls:
        call.join(PATIENCE)
    assert not any(call.is_alive() for call in calls), "they are never answered"


def measured(pumice: Installation, volume: str) -> tuple[float, float]:
    """What a GET and a POST take, in seconds: medians of twenty."""
    reads = [seconds(pumice, "GET", f"{VOLUMES}/{volume}") for _ in range(20)]
    writes = [seconds(pumice, "POST", VOLUMES, {"volume": {"size": 1}}) for _ in range(20)]
    return statistics.median(reads), statistics.median(writes)


def reserve(pumice: Installation, volume: str) -> str:
    """An attachment without a connector."""
    body = {"attachment": {"volume_uuid": volume}}
    return str(pumice.call("POST", ATTACHMENTS, body)["attachment"]["id"])


def connect(pumice: Installation, attachment: str) -> None:
    """Ask for the export, which the volume's host must make, and wait for the answer."""
    body = {"attachment": {"connector": CONNECTOR}}
    with httpx.Client(base_url=pumice.http.base_url, headers=pumice.http.headers, timeout=120) as http:
        http.put(f"{ATTACHMENTS}/{attachment}", json=body)


def seconds(pumice: Installation, method: str, path: str, body: object = None) -> float:
    """How long a request takes."""
    begun = time.monotonic()
    pumice.call(method, path, body)
    return time.monotonic() - begun

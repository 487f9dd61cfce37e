"""The state directory's disk hangs: who asks is told so in bounded time, and what was accepted ends."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.patience import PATIENCE
from tests.pumice_installation import VOLUMES, Installation
from tests.trouble.disks import Disk

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture
def pumice(disk: Disk, tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "pool").mkdir()
    backends = {"files": {"target": "fake", "pools": {"pool": str(tmp_path / "pool")}}}
    settings = {
        "PUMICE_BACKENDS": json.dumps(backends),
        "PUMICE_COMPUTE__DRIVER": "none",
        "PUMICE_STATE_DIR": str(disk.path),
    }
    here = tmp_path / "here"  # logs, which do not hang
    here.mkdir()
    for name in ("passwords.yaml", "pumice.db"):
        (here / name).symlink_to(disk.path / name)
    pumice = Installation(here, **settings)
    pumice.launch("serve")
    try:
        pumice.log_in()
        pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "its services do not come up")
        yield pumice
    finally:
        pumice.close()


def refused(pumice: Installation) -> httpx.Response:
    answer = pumice.http.post(VOLUMES, json={"volume": {"size": 1}})
    assert answer.status_code == 503, answer.text
    return answer


def test_who_asks_is_told_that_it_hangs_and_all_ends_when_it_is_back(pumice: Installation, disk: Disk) -> None:
    before = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
    with disk.frozen():
        for _ in range(2):  # the one in hand, and one that waits for its turn
            assert "The database does not answer." in refused(pumice).text
        pumice.call("GET", VOLUMES)
        told = httpx.get(f"http://127.0.0.1:{pumice.watched}/healthcheck", timeout=PATIENCE).json()
        assert "database" in told["unwell"] and "hangs" in told["database"]["error"]
    pumice.settle()
    pumice.becomes(f"{VOLUMES}/{before}", "volume", "available")
    assert len(pumice.call("GET", VOLUMES)["volumes"]) <= 2, "what waited for its turn is not done"
    assert pumice.violations() == []


def test_it_stops_although_its_disk_hangs(pumice: Installation, disk: Disk) -> None:
    process = pumice.processes["serve"]
    with disk.frozen():
        refused(pumice)
        process.send_signal(signal.SIGTERM)
        pumice.wait(lambda: "stopped.with_calls_that_hang" in pumice.log("serve"), "it does not stop")
        assert not pumice.answers()
    assert process.wait(PATIENCE) == 0

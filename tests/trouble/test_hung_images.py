"""The directory of images is on a disk that hangs: who asks is told in bounded time, and nobody else waits."""

import json
import signal
from collections.abc import Iterator

import httpx
import pytest
from tests.patience import PATIENCE
from tests.pumice_installation import IMAGES, VOLUMES, Installation, state_directory
from tests.trouble.disks import Disk

pytestmark = [pytest.mark.timeout(600)]
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def pumice(disk: Disk) -> Iterator[Installation]:
    with state_directory() as state:
        (state / "images").symlink_to(disk.path, target_is_directory=True)
        settings = {
            "PUMICE_BACKENDS": json.dumps({"files": {"target": "fake"}}),
            "PUMICE_COMPUTE__DRIVER": "none",
            "PUMICE_IMAGES__ANSWER_SECONDS": "5",
        }
        pumice = Installation(state, **settings)
        pumice.launch("serve")
        try:
            pumice.log_in()
            pumice.wait(lambda: pumice.is_up("volume"), "its services do not come up")
            yield pumice
        finally:
            pumice.close()


def image(pumice: Installation) -> str:
    asked = {"name": "i", "disk_format": "raw", "container_format": "bare"}
    return str(pumice.call("POST", IMAGES, asked)["id"])


def upload(pumice: Installation, image_id: str) -> httpx.Response:
    return pumice.http.put(f"{IMAGES}/{image_id}/file", content=b"bytes" * 1_000_000, headers=BYTES)


def test_who_uploads_is_told_and_nothing_is_left_when_it_is_back(pumice: Installation, disk: Disk) -> None:
    kept, other = image(pumice), image(pumice)
    assert upload(pumice, kept).status_code == 204
    with disk.frozen():
        for answer in (upload(pumice, other), pumice.http.delete(f"{IMAGES}/{kept}")):
            assert answer.status_code == 503, answer.text
            assert "where images are kept does not answer" in answer.text and str(disk.path) not in answer.text
        assert len(pumice.call("GET", IMAGES)["images"]) == 2
        volume = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    pumice.wait(lambda: {it.name for it in disk.path.iterdir()} == {"lost+found", kept}, "something is left")
    pumice.wait(lambda: upload(pumice, other).status_code == 204, "it cannot be uploaded again")
    for image_id in (kept, other):
        pumice.call("DELETE", f"{IMAGES}/{image_id}")
    assert [it.name for it in disk.path.iterdir()] == ["lost+found"]
    assert pumice.violations() == []


def test_it_stops_although_the_directory_hangs(pumice: Installation, disk: Disk) -> None:
    process, waiting = pumice.processes["serve"], image(pumice)
    with disk.frozen():
        assert upload(pumice, waiting).status_code == 503
        process.send_signal(signal.SIGTERM)
        pumice.wait(lambda: "stopped.with_calls_that_hang" in pumice.log("serve"), "it does not stop")
        assert not pumice.answers()
    assert process.wait(PATIENCE) == 0

"""The state directory's disk is full: who lists, logs in and deletes is served; what is new is refused."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.pumice_installation import VOLUMES, Installation

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 60 MiB."""
    mounting = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", tmp_path]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a tmpfs")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def pumice(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    pool = tmp_path_factory.mktemp("pool")
    backends = {"files": {"driver": "files", "target": "fake", "pools": {"pool": str(pool)}}}
    settings = {"PUMICE_BACKENDS": json.dumps(backends), "PUMICE_COMPUTE__DRIVER": "none"}
    one = Installation(disk, **settings)
    one.launch("serve")
    try:
        one.log_in()
        one.wait(lambda: "cinder-volume" in one.services_up(), "its services do not come up")
        yield one
    finally:
        one.close()


def test_a_full_disk_is_left_again_by_deleting(pumice: Installation, disk: Path) -> None:
    made = [pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"] for _ in range(3)]
    pumice.settle()
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
    pumice.log_in()
    assert {one["id"] for one in pumice.call("GET", VOLUMES)["volumes"]} == set(made)
    refused = pumice.http.post(VOLUMES, json={"volume": {"size": 1}})
    pumice.wait(
        lambda: pumice.http.post(VOLUMES, json={"volume": {"size": 1}}).status_code == 503, "it is not refused"
    )
    refused = pumice.http.post(VOLUMES, json={"volume": {"size": 1}})
    assert "nearly full" in refused.text and refused.headers["Retry-After"]
    for volume in made:
        pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.settle()
    assert pumice.call("GET", VOLUMES)["volumes"] == []
    for words in (["doctor"], ["audit"], ["operations", "list"]):
        done = pumice.command(*words)
        assert "Traceback" not in done.stdout + done.stderr
    assert "MiB free" in pumice.command("doctor").stdout
    told = pumice.http.get("/healthcheck")
    assert (told.status_code, told.text) == (503, "NOT OK")
    assert "disk" in httpx.get(f"http://127.0.0.1:{pumice.watched}/healthcheck").json()["unwell"]

    ballast.unlink()
    pumice.wait(lambda: (disk / "reserve").exists(), "nothing is put by again")
    pumice.call("POST", VOLUMES, {"volume": {"size": 1}})
    pumice.settle()
    assert pumice.command("audit").returncode == 0

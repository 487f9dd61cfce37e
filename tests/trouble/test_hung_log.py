"""The log's file is on a disk that hangs: whatever is asked is answered, and it goes on when that is back."""

import json
import signal
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from tests.pumice_installation import VOLUMES, Installation, state_directory
from tests.trouble.disks import Disk

pytestmark = [pytest.mark.timeout(600)]


def test_nobody_waits_for_a_log_that_hangs(disk: Disk, tmp_path: Path) -> None:
    log = disk.path / "pumice.log"
    settings = {
        "PUMICE_BACKENDS": json.dumps({"files": {"target": "fake"}}),
        "PUMICE_COMPUTE__DRIVER": "none",
        "PUMICE_LOG_FILE": str(log),
        "PUMICE_LOG_FORMAT": "json",
    }
    with state_directory() as state:
        pumice = Installation(state, **settings)
        process = pumice.launch("serve")
        try:
            pumice.log_in()
            pumice.wait(lambda: pumice.is_up("volume"), "its services do not come up")
            with disk.frozen():
                made = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
                pumice.becomes(f"{VOLUMES}/{made}", "volume", "available")
                assert made not in log.read_text()
                process.send_signal(signal.SIGHUP)
                pumice.call("DELETE", f"{VOLUMES}/{made}")
                pumice.becomes(f"{VOLUMES}/{made}", "volume", "gone")
            pumice.wait(lambda: log.read_text().count("operation.ended") == 2, "the log does not go on")
            with disk.frozen():
                pumice.http.post(VOLUMES, json={})
                process.send_signal(signal.SIGTERM)
                pumice.wait(lambda: not pumice.answers(), "it still answers")
            assert process.wait(PATIENCE) == 0
        finally:
            pumice.close()

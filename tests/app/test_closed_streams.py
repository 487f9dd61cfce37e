"""Commands whose standard streams are closed, as by `pumice serve <&- >&- 2>&-`: nothing takes their place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from tests.pumice_installation import Installation, state_directory

FAKES = {
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
    "PUMICE_COMPUTE__DRIVER": "fake",
}
ENDS_WITH = {"operations list": 0, "settings": 0, "nonsense": 2}
"""Each command's exit code, however its streams are."""
CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("closed", CLOSED)
def test_what_looks_ends_as_it_does_with_open_ones(closed: str, tmp_path: Path) -> None:
    pumice = f"'{sys.executable}' -m pumice --state-dir '{tmp_path}'"
    environment = {**os.environ, **FAKES, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", f"exec {pumice} {words}"], env=environment, capture_output=True, text=True, check=False
        )

    assert run(f"db upgrade {closed}").returncode == 0
    for command, code in ENDS_WITH.items():
        done = run(f"{command} {closed}")
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
    assert "schema" in run("db status").stdout, "what was printed went into the database"


@pytest.mark.real
@pytest.mark.parametrize("closed", CLOSED)
def test_what_serves_holds_no_file_of_its_own_there(closed: str) -> None:
    with state_directory() as state:
        pumice = Installation(state, **FAKES)
        process = subprocess.Popen(
            ["sh", "-c", f"exec '{sys.executable}' -m pumice serve {closed}"],
            env=pumice.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            pumice.wait(pumice.answers, "it does not serve")
            for number in range(3):
                assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0
            pumice.close()

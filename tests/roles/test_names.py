"""One live process for each host's name: a second is refused, and the next begins once the first is dead."""

from pathlib import Path

import pytest
from roles_installation import Installation
from tests.patience import PATIENCE

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.mark.parametrize("command", ["volume", "compute", "serve"])
def test_a_second_process_of_a_name_is_refused_until_the_first_is_dead(
    pumice: Installation, tmp_path: Path, command: str
) -> None:
    pumice.start(command)
    pumice.wait(lambda: begun(pumice, command) == 1, "the first does not start")
    first = pumice.processes.pop(command)
    try:
        elsewhere = tmp_path / "elsewhere"  # as on another machine, where no file's lock is in the way
        second = pumice.start(command, PUMICE_STATE_DIR=str(elsewhere), PUMICE_API__PORT="0")
        assert second.wait(PATIENCE) == 1
        name = "compute of here" if command == "serve" else f"{command} of here"
        refused = pumice.log(command)
        assert f"Another process holds '{name}': pumice {command} process {first.pid}" in refused
        assert "give this one another --host" in refused
        assert "Traceback" not in refused
    finally:
        first.kill()
        first.wait(60)
    pumice.start(command, PUMICE_STATE_DIR=str(elsewhere), PUMICE_API__PORT="0")
    pumice.wait(lambda: begun(pumice, command) == 2, "the next does not start")


def begun(pumice: Installation, command: str) -> int:
    """How many processes have begun to work."""
    return pumice.log(command).count("serving" if command == "serve" else "working")

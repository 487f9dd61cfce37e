"""Hosts' clocks may be hours apart: leases, deadlines and heartbeats are judged by the database's."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from roles_installation import FAKE, Installation
from tests.pumice_installation import VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

AHEAD = """
import pathlib, time
real = time.time
time.time = lambda: real() + {seconds}
pathlib.Path(__file__).with_name("worn").touch()
"""


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    name = postgres.take()
    installation = Installation(
        tmp_path,
        postgres.url(name),
        PUMICE_BACKENDS=json.dumps({"fake": {**FAKE, "delay": 0.5}}),
        PUMICE_COMPUTE__DRIVER="none",
        PUMICE_OPERATIONS__DEADLINES=json.dumps({"volume.create": 600}),
    )
    yield installation
    installation.close()
    postgres.give_back(name)


def test_a_scheduler_hours_ahead_and_a_volume_host_hours_behind_fail_nothing(pumice: Installation) -> None:
    clocks = {}
    for role, seconds in (("scheduler", 7200), ("volume", -7200)):
        directory = pumice.state_dir / f"clock-{role}"
        directory.mkdir()
        (directory / "sitecustomize.py").write_text(AHEAD.format(seconds=seconds))
        clocks[role] = str(directory)
    pumice.start("api")
    pumice.log_in()
    for role, path in clocks.items():
        pumice.start(role, PYTHONPATH=path)
        pumice.works(role)
    pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "the volume service does not come up")
    assert all((Path(path) / "worn").exists() for path in clocks.values())
    volumes = [pumice.create(f"v{n}") for n in range(3)]
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    wrong = pumice.rows("SELECT outcome FROM operation_lines WHERE outcome <> 'done'")
    assert wrong == []
    assert pumice.rows("SELECT id FROM operations WHERE attempt > 2") == []

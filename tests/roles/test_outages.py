"""PostgreSQL goes away in a burst of operations, or a role is told to stop in one: nothing is lost or twice."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from roles_installation import FAKE, Installation
from tests.patience import PATIENCE
from tests.pumice_installation import VOLUMES

from postgres_server import PostgresServer, is_installed

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CREATES = 30
AWAY_SECONDS = 20.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """One that keeps through its own crash what it has committed."""
    if not is_installed():
        pytest.skip("needs the package postgresql-15: scripts/setup dev")
    server = PostgresServer({"listen_addresses": "", "fsync": "off", "autovacuum": "off"})
    yield server
    server.close()


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    name = postgres.take()
    files = {**FAKE, "driver": "files", "pools": {"pool": str(tmp_path / "bytes")}, "delay": 0.5}
    installation = Installation(tmp_path, postgres.url(name), PUMICE_BACKENDS=json.dumps({"files": files}))
    installation.start_all()
    yield installation
    installation.close()
    postgres.give_back(name)


def burst(pumice: Installation) -> set[str]:
    """Volumes that were accepted; the first are being made."""
    accepted = {pumice.create() for _ in range(CREATES)}
    pumice.wait(lambda: len(in_hand(pumice, "volume.here")) > 5, "nothing is under way")
    return accepted


def in_hand(pumice: Installation, process: str) -> list[str]:
    """The operations that a process holds."""
    return pumice.rows(f"SELECT id FROM operations WHERE owner LIKE '{process}:%'")  # noqa: S608


def all_end(pumice: Installation, accepted: set[str]) -> None:
    """Every volume becomes available, was made once, and is counted once."""
    pumice.wait(lambda: answers(pumice, "GET", VOLUMES), "the API does not come back")
    for volume in accepted:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    pumice.settle()
    twice = (
        "SELECT operation_id FROM operation_lines WHERE outcome = 'done' GROUP BY 1, step HAVING count(*) > 1"
    )
    assert pumice.rows(twice) == []
    assert pumice.wrong_rows() == []
    made = {path.name for path in (pumice.state_dir / "bytes" / "volumes").iterdir()}
    assert accepted <= made == set(pumice.rows("SELECT id FROM volumes"))


def answers(pumice: Installation, method: str, path: str) -> bool:
    try:
        return pumice.http.request(method, path).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("seconds", [0.0, AWAY_SECONDS])
def test_a_crash_of_the_server_loses_nothing(
    pumice: Installation, postgres: PostgresServer, seconds: float
) -> None:
    accepted = burst(pumice)
    postgres.stop(signal.SIGQUIT)
    time.sleep(seconds)  # away for so long
    postgres.start()
    all_end(pumice, accepted)
    assert all(process.poll() is None for process in pumice.processes.values()), "a process has died of it"
    names = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    # of volume and compute their hosts', of schedulers its number, and of each of the three its own
    pumice.wait(lambda: int(pumice.rows(names)[0]) >= 6, "names are not taken again")
    later = pumice.create()
    begun = time.monotonic()
    pumice.becomes(f"{VOLUMES}/{later}", "volume", "available")
    print(f"after the crash a volume takes {time.monotonic() - begun:.1f} s")
    first = pumice.processes["volume"]
    second = pumice.start("volume")
    pumice.processes["volume"] = first
    assert second.wait(PATIENCE) == 1, "its name was free"


@pytest.mark.parametrize("role", ["scheduler", "volume", "compute", "api"])
def test_a_role_that_is_told_to_stop_in_a_burst_ends_its_steps_and_hands_back_the_rest(
    pumice: Installation, role: str
) -> None:
    accepted = burst(pumice)
    if role == "volume":  # one that says that it goes is not chosen any more
        unplaced = "SELECT id FROM operations WHERE place = 'scheduler' AND state = 'running'"
        pumice.wait(lambda: not pumice.rows(unplaced), "no pool is chosen")
    assert pumice.stop(role) == 0
    assert in_hand(pumice, f"{role}%") == []
    pumice.start(role)
    if role == "api":
        pumice.log_in()
    all_end(pumice, accepted)
    again = pumice.rows("SELECT DISTINCT step FROM operation_lines WHERE outcome = 'retry'")
    assert again == [], "a step was dropped"

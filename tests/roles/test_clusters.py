"""Several volume processes on one shared backend: they share the work, and take over what a dead one held."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from roles_installation import FAKE, Installation
from tests.pumice_installation import VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

LEASE = 120.0
"""So long that nobody waits for its end."""
CREATES = 40


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    """Two hosts that serve files in one directory, and the others."""
    name = postgres.take()
    shared = {
        **FAKE,
        "delay": 1.0,
        "driver": "files",
        "pools": {"pool": str(tmp_path / "bytes")},
        "cluster": "both",
        "goodness_function": "42",
    }
    installation = Installation(
        tmp_path,
        postgres.url(name),
        PUMICE_BACKENDS=json.dumps({"shared": shared}),
        PUMICE_OPERATIONS__LEASE_SECONDS=str(LEASE),
        PUMICE_COMPUTE__DRIVER="none",
    )
    installation.start("api", "--workers", "2")
    installation.start("scheduler")
    for host in ("one", "two"):
        installation.start("volume", host=host)
        installation.works(f"volume {host}")
    installation.log_in()
    installation.wait(lambda: installation.members_up() == 2, "the cluster does not come up")
    yield installation
    installation.close()
    postgres.give_back(name)


def makers(pumice: Installation) -> list[str]:
    """Who has operations in hand, and how many."""
    return pumice.rows("SELECT split_part(owner, ':', 1) FROM operations WHERE owner LIKE 'volume.%'")


def test_what_a_killed_member_held_is_done_by_the_other_at_once(pumice: Installation) -> None:
    volumes = [pumice.create() for _ in range(CREATES)]
    both = ["volume.one", "volume.two"]
    pumice.wait(lambda: all(makers(pumice).count(one) > 3 for one in both), "they do not share the work")
    pumice.kill("volume one")
    killed, held = time.monotonic(), makers(pumice).count("volume.one")
    assert held
    volumes += [pumice.create() for _ in range(CREATES)]
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    print(f"{held} operations in a dead hand; all available after {time.monotonic() - killed:.1f} s")
    assert "operations.taken_over" in pumice.log("volume two")
    twice = (
        "SELECT operation_id FROM operation_lines WHERE outcome = 'done' GROUP BY 1, step HAVING count(*) > 1"
    )
    assert pumice.rows(twice) == []
    made = pumice.state_dir / "bytes" / "volumes"
    assert sorted(path.name for path in made.iterdir()) == sorted(volumes)
    assert pumice.violations() == []


def test_a_cluster_is_told_as_cinder_tells_it(pumice: Installation) -> None:
    (cluster,) = pumice.call("GET", "/volume/v3/clusters")["clusters"]
    assert (cluster["name"], cluster["state"], cluster["status"]) == ("both@shared", "up", "enabled")
    services = pumice.call("GET", "/volume/v3/os-services?binary=cinder-volume")["services"]
    told = {(service["host"], service["cluster"]) for service in services}
    assert told == {("one@shared", "both@shared"), ("two@shared", "both@shared")}
    volume = pumice.create()
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    shown = pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]
    assert shown["cluster_name"] == "both@shared#pool"
    (pool,) = pumice.call("GET", "/volume/v3/scheduler-stats/get_pools?detail=True")["pools"]
    assert (pool["name"], pool["capabilities"]["goodness_function"]) == ("both@shared#pool", "42")
    pumice.stop("volume two")
    pumice.wait(lambda: pumice.members_up() == 1, "its end is not noticed")
    pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")

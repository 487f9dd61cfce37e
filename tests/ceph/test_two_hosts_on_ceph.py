"""Two volume hosts serve one pool of Ceph, and none owns a volume: the other goes on when one is killed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ceph.conftest import User
from tests.pumice_installation import VOLUMES
from tests.roles.roles_installation import Installation

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(600)]

CREATES = 16


@pytest.fixture
def pumice(postgres: PostgresServer, ceph_user: User, tmp_path: Path) -> Iterator[Installation]:
    """Two hosts in a cluster, whose calls take long enough to be killed in the middle."""
    name = postgres.take()
    shared = {**ceph_user.settings, "cluster": "both", "delay": 1.0}
    installation = Installation(
        tmp_path,
        postgres.url(name),
        PUMICE_BACKENDS=json.dumps({"ceph": shared}),
        PUMICE_OPERATIONS__LEASE_SECONDS="120",
        PUMICE_COMPUTE__DRIVER="none",
    )
    installation.start("api")
    installation.start("scheduler")
    for host in ("one", "two"):
        installation.start("volume", host=host)
        installation.works(f"volume {host}")
    installation.log_in()
    installation.wait(lambda: installation.members_up() == 2, "the cluster does not come up")
    yield installation
    installation.close()
    postgres.give_back(name)


def held_by(pumice: Installation, host: str) -> int:
    """How many operations a host has in hand."""
    return len(pumice.rows(f"SELECT id FROM operations WHERE owner LIKE 'volume.{host}:%'"))  # noqa: S608 - ours


def test_what_a_killed_host_held_is_made_once_by_the_other(pumice: Installation, ceph_user: User) -> None:
    volumes = [pumice.create() for _ in range(CREATES)]
    pumice.wait(lambda: held_by(pumice, "one") and held_by(pumice, "two"), "they do not share the work")
    pumice.kill("volume one")
    assert held_by(pumice, "one")
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    pool = ceph_user.pool
    assert sorted(pool.cluster.rbd("ls", pool.name).split()) == sorted(f"volume-{it}" for it in volumes)
    assert pumice.violations() == []
    for volume in volumes:
        pumice.call("DELETE", f"{VOLUMES}/{volume}")
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")
    assert pool.cluster.rbd("ls", pool.name) == pool.cluster.rbd("trash", "ls", "--all", pool.name) == ""

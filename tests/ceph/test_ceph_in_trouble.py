"""A cluster that stands still: it costs its own backend, and nobody else waits for it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stories import Stories
from tests.ceph.conftest import User, make_user
from tests.ceph_cluster import own_cluster
from tests.pumice_installation import VOLUMES, Installation, state_directory

from pumice.model.units import MIB

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(600)]

DEADLINE = 40.0
"""Seconds for a create: longer than Ceph's commands look for a monitor."""
ERRORS = "SELECT error FROM operations WHERE kind = 'volume.create' AND error IS NOT NULL"


@pytest.fixture
def user() -> Iterator[User]:
    """Of a cluster of this test's own, which it may break."""
    with own_cluster("alone") as cluster:
        yield make_user(cluster, "alone")


@pytest.fixture
def pumice(user: User, tmp_path: Path) -> Iterator[Installation]:
    """One with a backend in the cluster and another beside it, each with a type of its name."""
    well = {"driver": "files", "pools": {"well": str(tmp_path / "well")}, "target": "fake"}
    settings = {
        "PUMICE_BACKENDS": json.dumps({"ceph": user.settings, "well": well}),
        "PUMICE_COMPUTE__DRIVER": "none",
        "PUMICE_OPERATIONS__DEADLINES": json.dumps({"volume.create": DEADLINE}),
    }
    with state_directory() as state:
        pumice = Installation(state, **settings)
        pumice.launch("serve")
        try:
            pumice.log_in()
            pumice.make_types("ceph", "well")
            yield pumice
        finally:
            pumice.close()


def becomes(pumice: Installation, volume: str, status: str) -> None:
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", status)


def test_a_monitor_that_stands_still_costs_its_backend_alone_and_is_named(
    pumice: Installation, user: User
) -> None:
    cluster = user.pool.cluster
    cluster.send("mon.a", signal.SIGSTOP)
    try:
        hung = [pumice.create(volume_type="ceph") for _ in range(6)]
        for _ in range(3):
            becomes(pumice, pumice.create(volume_type="well"), "available")
        for volume in hung:
            assert pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]["status"] == "creating", (
                "too late to tell"
            )
        for volume in hung:
            becomes(pumice, volume, "error")
        assert any("cluster does not answer" in it for it in pumice.rows(ERRORS)), pumice.rows(ERRORS)
    finally:
        cluster.send("mon.a", signal.SIGCONT)
    becomes(pumice, pumice.create(volume_type="ceph"), "available")
    for volume in hung:
        pumice.call("DELETE", f"{VOLUMES}/{volume}")
    pumice.settle()
    assert pumice.violations() == []
    assert len(cluster.rbd("ls", "alone").split()) == 1


def test_an_osd_that_stands_still_in_the_middle_of_a_copy_delays_that_copy_alone(
    pumice: Installation, user: User
) -> None:
    cluster, data = user.pool.cluster, os.urandom(192 * MIB)
    stories = Stories(pumice)
    volume = pumice.create(volume_type="ceph", imageRef=stories.upload(data, "raw"))

    def has_begun() -> bool:
        return any(it.startswith("rbd_data") for it in cluster.rados("ls", "-p", "alone").splitlines())

    pumice.wait(has_begun, "nothing is copied")
    cluster.send("osd.0", signal.SIGSTOP)
    try:
        for _ in range(3):
            becomes(pumice, pumice.create(volume_type="well"), "available")
        assert pumice.status(f"{VOLUMES}/{volume}", "volume") == "creating", "too late to tell"
    finally:
        cluster.send("osd.0", signal.SIGCONT)
    becomes(pumice, volume, "available")
    export = ["rbd", "--conf", str(cluster.conf), "export", "--no-progress", f"alone/volume-{volume}", "-"]
    with subprocess.Popen(export, stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        assert reading.stdout.read(len(data)) == data
        reading.kill()
    assert pumice.violations() == []

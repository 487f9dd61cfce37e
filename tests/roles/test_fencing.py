"""A process that was stopped for longer than its lease, and goes on when another has taken its work over.

It writes nothing, and nothing happens twice: neither in the history nor in what the tenant sees.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from roles_installation import FAKE, Installation
from tests.patience import PATIENCE
from tests.pumice_installation import VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

LEASE = 6.0
"""Seconds: a process that works renews it in time, however busy the machine is."""
CREATES = 12
STEPS = ["claim_space", "make_bytes", "publish"]


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    """Backends of files in one directory that every host sees; ``shared`` is a cluster's."""
    name = postgres.take()
    files = {**FAKE, "driver": "files", "pools": {"pool": str(tmp_path / "bytes")}}
    installation = Installation(
        tmp_path,
        postgres.url(name),
        PUMICE_BACKENDS=json.dumps({"shared": {**files, "cluster": "both"}}),
        PUMICE_OPERATIONS__LEASE_SECONDS=str(LEASE),
        PUMICE_COMPUTE__DRIVER="none",
    )
    yield installation
    for process in installation.processes.values():
        process.send_signal(signal.SIGCONT)
    installation.close()
    postgres.give_back(name)


def begin(pumice: Installation, *others: tuple[str, str]) -> None:
    """The API, and other processes by role and host."""
    pumice.start("api")
    for role, host in others:
        pumice.start(role, host=host)
        pumice.works(role if host == "here" else f"{role} {host}")
    pumice.log_in()


def histories(pumice: Installation) -> list[list[str]]:
    """The steps of every operation, as they were done."""
    lines = (
        "SELECT operation_id, step || ' ' || direction || ' ' || outcome FROM operation_lines ORDER BY number"
    )
    told = dict[str, list[str]]()
    for row in pumice.rows(lines):
        operation, line = row.split("|")
        told.setdefault(operation, []).append(line)
    return list(told.values())


def assert_all_is_well(pumice: Installation, volumes: list[str]) -> None:
    """Every volume is there, each step was done once, quotas and claims are those of the rows."""
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert histories(pumice) == [[f"{step} do done" for step in STEPS]] * len(volumes)
    assert pumice.wrong_rows() == []
    made = pumice.state_dir / "bytes" / "volumes"
    assert sorted(path.name for path in made.iterdir()) == sorted(volumes)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_scheduler_that_wakes_up_writes_nothing(pumice: Installation, when: str) -> None:
    """It was stopped inside its transaction, with the pool's row locked."""
    begin(pumice, ("volume", "here"))
    pumice.start("scheduler", PUMICE_FAULT=f"volume.create/do/claim_space/{when}=stop")
    pumice.works("scheduler")
    pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "the volume service does not come up")
    volumes = [pumice.create()]
    pumice.wait(lambda: pumice.is_stopped("scheduler"), "the scheduler is not stopped")
    volumes += [pumice.create() for _ in range(CREATES)]
    pumice.start("scheduler", host="there")
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    pumice.go_on("scheduler")
    pumice.wait(lambda: "operation.lease_lost" in pumice.log("scheduler"), "it does not notice")
    assert_all_is_well(pumice, volumes)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_member_of_a_cluster_that_wakes_up_writes_nothing(pumice: Installation, when: str) -> None:
    """It was stopped just before it makes a file, or just after it made one."""
    begin(pumice, ("scheduler", "here"))
    pumice.start("volume", host="one", PUMICE_FAULT=f"volume.create/do/make_bytes/{when}=stop")
    pumice.works("volume one")
    pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "the volume service does not come up")
    volumes = [pumice.create()]
    pumice.wait(lambda: pumice.is_stopped("volume one"), "the member is not stopped")
    pumice.start("volume", host="two")
    pumice.becomes(f"{VOLUMES}/{volumes[0]}", "volume", "available")
    pumice.go_on("volume one")
    pumice.wait(lambda: "operation.lease_lost" in pumice.log("volume one"), "it does not notice")
    begun = "was over before its next step began" in pumice.log("volume one")
    assert begun == (when == "before")
    assert_all_is_well(pumice, volumes)


def test_a_member_stopped_in_a_burst_loses_its_work_to_the_other(pumice: Installation) -> None:
    begin(pumice, ("scheduler", "here"), ("volume", "one"), ("volume", "two"))
    pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "the volume service does not come up")
    volumes = [pumice.create() for _ in range(CREATES)]
    pumice.wait(lambda: holds(pumice, "volume.one") > 0, "the first member has nothing in hand")
    pumice.processes["volume one"].send_signal(signal.SIGSTOP)
    stopped_with = holds(pumice, "volume.one")
    volumes += [pumice.create() for _ in range(CREATES)]
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    pumice.go_on("volume one")
    if stopped_with:
        pumice.wait(lambda: "operation.lease_lost" in pumice.log("volume one"), "it does not notice")
    assert_all_is_well(pumice, volumes)


def holds(pumice: Installation, owner: str) -> int:
    """How many operations a process has in hand."""
    (number,) = pumice.rows(f"SELECT count(*) FROM operations WHERE owner LIKE '{owner}:%'")  # noqa: S608
    return int(number)


def test_a_host_that_is_stopped_keeps_its_name_and_goes_on_where_it_was(pumice: Installation) -> None:
    """Nobody else may do its work, so there is nobody to be fenced from, not even itself."""
    alone = json.loads(pumice.environment["PUMICE_BACKENDS"])
    alone["shared"] |= {"cluster": None, "delay": 2.0}
    pumice.environment["PUMICE_BACKENDS"] = json.dumps(alone)
    begin(pumice, ("scheduler", "here"), ("volume", "here"))
    pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "the volume service does not come up")
    volumes = [pumice.create() for _ in range(CREATES)]
    pumice.wait(lambda: holds(pumice, "volume.here") > CREATES // 2, "it has nothing in hand")
    first = pumice.processes.pop("volume")
    first.send_signal(signal.SIGSTOP)
    try:
        second = pumice.start("volume")
        assert second.wait(PATIENCE) == 1
        assert "Another process holds 'volume of here'" in pumice.log("volume")
        expired = "SELECT count(*) FROM operations WHERE lease_until > extract(epoch FROM now())"
        pumice.wait(lambda: pumice.rows(expired) == ["0"], "its leases do not end")
    finally:
        pumice.processes["volume"] = first
        pumice.go_on("volume")
    assert_all_is_well(pumice, volumes)

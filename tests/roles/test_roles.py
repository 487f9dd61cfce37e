"""Every role as a process of its own, on PostgreSQL: the same stories, and any may die at any moment."""

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from roles_installation import Installation
from tests.patience import PATIENCE
from tests.pumice_installation import SERVERS, VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CREATES = 40


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.take()
    yield name
    postgres.give_back(name)


@pytest.fixture
def pumice(postgres: PostgresServer, database: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path, postgres.url(database))
    yield installation
    installation.close()


def test_the_stories_are_the_same(pumice: Installation, postgres: PostgresServer, database: str) -> None:
    pumice.start_all()
    root, data = pumice.create(), pumice.create()
    for volume in (root, data):
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    pumice.call("POST", f"{VOLUMES}/{root}/action", {"os-set_bootable": {"bootable": True}})
    server = pumice.boot(root)
    pumice.becomes(f"{SERVERS}/{server}", "server", "ACTIVE")
    pumice.call("POST", f"{SERVERS}/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": data}})
    pumice.becomes(f"{VOLUMES}/{data}", "volume", "in-use")
    pumice.call("DELETE", f"{SERVERS}/{server}/os-volume_attachments/{data}")
    pumice.becomes(f"{VOLUMES}/{data}", "volume", "available")
    pumice.call("DELETE", f"{SERVERS}/{server}")
    pumice.becomes(f"{SERVERS}/{server}", "server", "gone")
    for volume in (root, data):
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
        pumice.call("DELETE", f"{VOLUMES}/{volume}")
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "gone")
    assert pumice.wrong_rows() == []
    for role in ("volume", "compute", "scheduler", "api"):
        assert pumice.stop(role) == 0, pumice.log(role)


@pytest.mark.parametrize("role", ["api", "scheduler", "volume", "compute"])
def test_killed_in_a_burst_of_creates_it_loses_none(
    pumice: Installation, postgres: PostgresServer, database: str, role: str
) -> None:
    pumice.start_all()
    accepted: list[str] = []

    def post(number: int) -> None:
        for n in range(CREATES // 4):
            try:
                accepted.append(pumice.create(f"{number}-{n}"))
            except (httpx.TransportError, AssertionError):
                time.sleep(0.2)  # while the API is down; what it accepted all the same is in the rows

    posting = [threading.Thread(target=post, args=(number,)) for number in range(4)]
    for thread in posting:
        thread.start()
    pumice.wait(lambda: len(accepted) >= CREATES // 4, "no volume is accepted")
    pumice.kill(role)
    pumice.start(role, *(["--workers", "2"] if role == "api" else []))
    for thread in posting:
        thread.join()
    pumice.wait(lambda: states(pumice) == {"available"}, "not all become available")
    assert len(accepted) >= (CREATES // 4 if role == "api" else CREATES)
    assert pumice.wrong_rows() == []


def states(pumice: Installation) -> set[str]:
    try:
        listed = pumice.http.get(f"{VOLUMES}/detail?limit=1000")
    except httpx.TransportError:
        return set()
    return {volume["status"] for volume in listed.json()["volumes"]} if listed.status_code == 200 else set()


def test_a_worker_of_the_api_that_dies_is_replaced(pumice: Installation) -> None:
    api = pumice.start("api", "--workers", "2")
    pumice.log_in()
    children = Path(f"/proc/{api.pid}/task/{api.pid}/children")
    first = children.read_text().split()
    for process in first:
        os.kill(int(process), signal.SIGKILL)
    pumice.wait(
        lambda: len(now := children.read_text().split()) == 2 and not set(now) & set(first), "none is started"
    )
    pumice.log_in()


def test_the_doctor_knows_the_api_that_listens(pumice: Installation) -> None:
    pumice.start("api", "--workers", "2")
    pumice.log_in()
    parts = json.loads(pumice.command("doctor", "--json").stdout)["parts"]
    [port] = [it for it in parts if it["part"] == "api port"]
    assert port["verdict"] == "ok" and "Pumice serves there" in port["found"]


@pytest.mark.parametrize("role", ["volume", "compute"])
def test_a_second_process_of_one_host_refuses_to_start(pumice: Installation, role: str) -> None:
    pumice.start(role)
    pumice.wait(lambda: "working" in pumice.log(role), "it does not start")
    first = pumice.processes.pop(role)
    try:
        assert pumice.start(role).wait(PATIENCE) == 1
        assert f"Another process holds '{role} of here'" in pumice.log(role)
        pumice.start(role, host="there")
        pumice.works(f"{role} there")
    finally:
        pumice.processes["first"] = first
        first.terminate()


def test_two_schedulers_of_one_host_share_the_work(pumice: Installation) -> None:
    pumice.start_all()
    first = pumice.processes.pop("scheduler")
    pumice.start("scheduler")
    pumice.wait(lambda: "scheduler-2.here" in pumice.log("scheduler"), "the second does not start")
    first.terminate()
    volume = pumice.create()
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert first.wait(PATIENCE) == 0


def test_roles_on_sqlite_are_refused(pumice: Installation, tmp_path: Path) -> None:
    pumice.environment["PUMICE_DATABASE_URL"] = f"sqlite:///{tmp_path / 'pumice.db'}"
    for role in ("api", "scheduler", "volume", "compute"):
        assert pumice.start(role).wait(PATIENCE) == 1
        assert "SQLite is for one process" in pumice.log(role)


def test_an_idle_installation_asks_the_database_little(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    """Ten places: eight backends, a hypervisor, a scheduler."""
    postgres.sql(f"ALTER DATABASE {database} SET log_statement = 'all'", "template1")
    pumice = Installation(tmp_path, postgres.url(database), backends=8)
    try:
        pumice.start_all()
        time.sleep(15)  # what a start asks for is not idleness
        seconds, before = 40.0, len(statements(postgres))
        time.sleep(seconds)
        asked = statements(postgres)[before:]
        each_second = len(asked) / seconds
        print(f"idle: {each_second:.1f} statements a second")
        (tmp_path / "statements").write_text("\n".join(asked))
        assert each_second < 5, Counter(one[:60] for one in asked).most_common(20)
    finally:
        pumice.close()
        postgres.sql(f"ALTER DATABASE {database} RESET log_statement", "template1")


def statements(postgres: PostgresServer) -> list[str]:
    """Every statement that the server has logged, BEGIN and COMMIT as well."""
    return re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", (postgres.directory / "log").read_text())

"""An upgrade without a stop: processes of the version before and of this one at once, while clients work.

    db upgrade ──▶ an API beside the old ──▶ scheduler ──▶ volume, on two hosts ──▶ compute ──▶ the old API goes

`make upgrade` prints what came of it. Its short form, in the suite, is `tests/store/test_version_before.py`.
"""

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from roles_installation import Installation
from tests import version_before
from tests.ports import free_port
from tests.pumice_installation import ATTACHMENTS, SERVERS, SNAPSHOTS, VOLUMES

from postgres_server import PostgresServer
from pumice.store.schema import HEAD

pytestmark = [
    pytest.mark.long,
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(version_before.why_not()), reason=version_before.why_not()),
]
CLIENTS = 6
PAUSE = 3.0
"""Seconds for which each mixture is at work."""


class Clients:
    """Each works with volumes of its own, through every API there is in turn."""

    def __init__(self, pumice: Installation) -> None:
        self.headers = pumice.http.headers
        self.apis = [f"http://127.0.0.1:{pumice.port}"]
        self.done = Counter[str]()
        self.wrong: list[str] = []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Each ends the life in hand."""
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def work(self, number: int) -> None:
        """Until told to stop: a volume's whole life, again and again."""
        with httpx.Client(headers=self.headers, timeout=60) as http:
            try:
                for turn in itertools.count(number):
                    if self.stopped.is_set():
                        return
                    self.live(http, turn)
            except Exception as error:
                self.wrong.append(f"{type(error).__name__}: {error}")

    def live(self, http: httpx.Client, turn: int) -> None:
        volume = self.ask(http, "POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
        self.becomes(http, f"{VOLUMES}/{volume}", "volume", "available")
        snapshot = self.ask(http, "POST", SNAPSHOTS, {"snapshot": {"volume_id": volume}})["snapshot"]["id"]
        self.becomes(http, f"{SNAPSHOTS}/{snapshot}", "snapshot", "available")
        clone = self.ask(http, "POST", VOLUMES, {"volume": {"snapshot_id": snapshot}})["volume"]["id"]
        self.ask(http, "POST", f"{VOLUMES}/{volume}/action", {"os-extend": {"new_size": 2}})
        self.becomes(http, f"{VOLUMES}/{clone}", "volume", "available")
        self.becomes(http, f"{VOLUMES}/{volume}", "volume", "available")
        if turn % 2:
            self.serve(http, volume)
        else:
            self.connect(http, volume)
        self.ask(http, "DELETE", f"{SNAPSHOTS}/{snapshot}")
        self.becomes(http, f"{SNAPSHOTS}/{snapshot}", "snapshot", "gone")
        for it in (volume, clone):
            self.ask(http, "DELETE", f"{VOLUMES}/{it}")
        for it in (volume, clone):
            self.becomes(http, f"{VOLUMES}/{it}", "volume", "gone")
        self.done["lives of a volume"] += 1

    def connect(self, http: httpx.Client, volume: str) -> None:
        connector = {"initiator": "iqn.2010-10.org.example:one", "host": "one", "ip": "192.0.2.7"}
        wanted = {"volume_uuid": volume, "connector": connector}
        link = self.ask(http, "POST", ATTACHMENTS, {"attachment": wanted})["attachment"]["id"]
        self.ask(http, "POST", f"{ATTACHMENTS}/{link}/action", {"os-complete": None})
        self.becomes(http, f"{VOLUMES}/{volume}", "volume", "in-use")
        self.ask(http, "DELETE", f"{ATTACHMENTS}/{link}")
        self.becomes(http, f"{VOLUMES}/{volume}", "volume", "available")

    def serve(self, http: httpx.Client, volume: str) -> None:
        self.ask(http, "POST", f"{VOLUMES}/{volume}/action", {"os-set_bootable": {"bootable": True}})
        disk = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
        body = {"name": "s", "flavorRef": "1", "networks": "none", "block_device_mapping_v2": [disk]}
        server = self.ask(http, "POST", SERVERS, {"server": body})["server"]["id"]
        self.becomes(http, f"{SERVERS}/{server}", "server", "ACTIVE")
        self.ask(http, "DELETE", f"{SERVERS}/{server}")
        self.becomes(http, f"{SERVERS}/{server}", "server", "gone")
        self.becomes(http, f"{VOLUMES}/{volume}", "volume", "available")
        self.done["lives of a server"] += 1

    def ask(self, http: httpx.Client, method: str, path: str, body: object = None) -> dict[str, dict[str, str]]:
        while True:
            self.done["requests"] += 1
            api = self.apis[self.done["requests"] % len(self.apis)]
            try:
                answer = http.request(method, api + path, json=body)
            except httpx.ConnectError:
                time.sleep(0.05)
                continue
            assert answer.status_code < 400, f"{method} {api}{path}: {answer.status_code} {answer.text}"
            return dict(answer.json()) if answer.content else {}

    def becomes(self, http: httpx.Client, path: str, kind: str, status: str) -> None:
        give_up = time.monotonic() + 60
        while True:
            api = self.apis[self.done["looks"] % len(self.apis)]
            self.done["looks"] += 1
            try:
                answer = http.get(api + path)
            except httpx.ConnectError:
                time.sleep(0.05)
                continue
            now = "gone" if answer.status_code == 404 else answer.json()[kind]["status"]
            if now == status:
                return
            assert now.lower() not in ("error", "gone"), (
                f"{path} is {now}, and must become {status}: {answer.text}"
            )
            assert time.monotonic() < give_up, f"{path} is still {now}, and must become {status}"
            time.sleep(0.05)


def pools(host: str, directory: Path) -> str:
    """A backend that outlives its process, of a host."""
    pool = directory / f"pool-{host}"
    pool.mkdir(exist_ok=True)
    return json.dumps({"files": {"target": "fake", "pools": {"pool": str(pool)}}})


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    """The version before, at its own schema."""
    name = postgres.take()
    postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
    pumice = Installation(
        tmp_path, postgres.url(name), PUMICE_BACKENDS=pools("here", tmp_path), PUMICE_REPAIR__GRACE_SECONDS="1"
    )
    yield pumice
    pumice.close()


def test_nothing_stops_and_nothing_is_lost_when_a_version_follows_another(pumice: Installation) -> None:
    before = version_before.environment({})
    pumice.start("api", **before)
    pumice.log_in()
    for role in ("scheduler", "volume", "compute"):
        pumice.start(role, **before)
    pumice.wait(lambda: pumice.is_up(*pumice.processes), "its services do not come up")
    clients = Clients(pumice)
    try:
        follow(pumice, clients)
    finally:
        clients.stop()
    print(dict(clients.done))
    assert not clients.wrong, "\n".join(clients.wrong)
    pumice.settle()
    failed = "SELECT kind, error FROM operations WHERE state <> 'done' OR unread IS NOT NULL"
    assert pumice.rows(failed) == []
    # The version before counts what is claimed of a pool in its own way: repair counts it again.
    pumice.wait(lambda: not pumice.command("audit", "--repair").returncode, "the audit is not clean")
    assert pumice.wrong_rows() == []


def follow(pumice: Installation, clients: Clients) -> None:
    """What the manual says, one process after the other."""
    time.sleep(PAUSE)
    older = version_before.run("from pumice.store.schema import HEAD; print(HEAD)").strip()
    assert f"schema {older}; this version's is {HEAD}" in pumice.command("db", "status").stdout
    assert pumice.command("db", "upgrade").returncode == 0
    others = "4 processes of another version are at work" in pumice.command("db", "status").stdout
    assert others is (older != HEAD), "versions of one schema need not be told apart"
    time.sleep(PAUSE)
    port = free_port()
    pumice.start("api", host="there", PUMICE_API__PORT=str(port))
    pumice.wait(lambda: "serving" in pumice.log("api there"), "this version's API does not answer")
    clients.apis.append(f"http://127.0.0.1:{port}")
    time.sleep(PAUSE)
    for role in ("scheduler", "volume", "compute"):
        pumice.start(role, host="there", PUMICE_BACKENDS=pools("there", pumice.state_dir))
        pumice.works(f"{role} there")
        time.sleep(PAUSE)
    for role in ("scheduler", "volume", "compute"):
        pumice.stop(role)
        pumice.start(role)
        time.sleep(PAUSE)
    clients.apis.pop(0)
    time.sleep(1)
    pumice.stop("api")
    time.sleep(PAUSE)
    assert "of another version" not in pumice.command("db", "status").stdout

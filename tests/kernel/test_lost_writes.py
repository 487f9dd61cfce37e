"""A disk that drops what was not flushed, under everything that an installation keeps, while clients work.

State, database and pool lie on one file system. At a cut all that lives is killed, and the disk has what was
flushed and a part of what was not: each cut loses writes that had reached the disk. All is started again, and
everything that had been answered must be as it was said; the bytes of clones too. `make power-cut` prints what
came of it; its short form, without a guest, is `tests/store/test_power_cut.py`.
"""

import contextlib
import json
import random
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from losing_disk import LosingDisk, run
from tests.postgres_server import PostgresServer
from tests.pumice_installation import VOLUMES, Installation

CUTS, CLIENTS = 3, 4
BEFORE_THE_MARK = 8, 20
"""How many answers clients wait for until then, at least and at most."""
BEHIND_THE_MARK = 4
"""How many more, so that the cut can be in the midst of what was flushed for them."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.kernel(disks=["4G", "12G", "4G"], modules=["dm-log-writes", "xfs", "ext4"], memory_mib=3072),
    pytest.mark.timeout(1800),
]

SYNCING = {"listen_addresses": "", "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
MARK = b"what a clone must have"


class Clients:
    """Make volumes, clone one, delete some, and note what they were answered."""

    def __init__(self, cloud: Installation, source: str, there: set[str], seed: int) -> None:
        self.cloud, self.source, self.there = cloud, source, there
        self.gone: set[str] = set()
        self.answers = 0
        self._dice = random.Random(seed)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def go_on(self, answers: int) -> None:
        """Let them work until so many more were answered, however slow the disk is."""
        enough = self.answers + answers
        self.cloud.wait(lambda: self.answers >= enough, "clients are not answered")

    def stop(self) -> None:
        """Nobody answers any more."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        known = self.cloud.http
        with httpx.Client(base_url=known.base_url, headers=known.headers, timeout=60) as http:
            while not self._stopped.is_set():
                with contextlib.suppress(httpx.TransportError):
                    self._create(http, {"size": 1})
                    self._create(http, {"source_volid": self.source})
                    self._delete(http)

    def _create(self, http: httpx.Client, wanted: dict[str, Any]) -> None:
        answer = http.post(VOLUMES, json={"volume": wanted})
        if answer.status_code == 202:
            self.there.add(answer.json()["volume"]["id"])
            self.answers += 1

    def _delete(self, http: httpx.Client) -> None:
        if not self.there:
            return
        doomed = self._dice.choice(sorted(self.there))
        self.there.discard(doomed)  # until it is answered, either may be
        answer = http.delete(f"{VOLUMES}/{doomed}")
        if answer.status_code == 202:
            self.gone.add(doomed)
            self.answers += 1
        elif answer.status_code in (400, 409):
            self.there.add(doomed)


@contextmanager
def losing_disk(kind: str, place: Path) -> Iterator[LosingDisk]:
    place.mkdir(exist_ok=True)
    disk = LosingDisk(kind, place, "/dev/vda", "/dev/vdb", "/dev/vdc", seed=7)
    try:
        yield disk
    finally:
        disk.close()


@contextmanager
def installation(disk: Path, postgres: PostgresServer | None) -> Iterator[Installation]:
    for folder in ("state", "pool"):
        (disk / folder).mkdir()
    files = {"target": "fake", "pools": {"pool": str(disk / "pool")}, "max_over_subscription_ratio": 10**6}
    settings = {
        "PUMICE_BACKENDS": json.dumps({"files": files}),
        "PUMICE_COMPUTE__DRIVER": "none",
        "PUMICE_REPAIR__GRACE_SECONDS": "1",
    }
    cloud = Installation(disk / "state", postgres.url(postgres.take()) if postgres else None, **settings)
    try:
        yield cloud
    finally:
        cloud.close()


@contextmanager
def database(kind: str, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer | None]:
    if kind == "SQLite":
        yield None
        return
    disk.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    postgres = PostgresServer(SYNCING)
    try:
        run("sync")  # it was made without
        yield postgres
    finally:
        postgres.close()


def start(cloud: Installation) -> None:
    cloud.launch("serve")
    cloud.log_in()
    cloud.wait(lambda: "cinder-volume" in cloud.services_up(), "its volume service is not up")


def with_a_source(cloud: Installation, pool: Path) -> str:
    """A volume with known bytes, which a tenant has flushed."""
    source = str(cloud.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"])
    cloud.becomes(f"{VOLUMES}/{source}", "volume", "available")
    with (pool / "volumes" / source).open("r+b") as file:
        file.write(MARK)
    run("sync", pool / "volumes" / source)
    return source


def beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MARK))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
@pytest.mark.parametrize("on", ["SQLite", "PostgreSQL"])
def test_a_power_cut_takes_nothing_that_was_answered(
    kind: str, on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        losing_disk(kind, Path("/mnt")) as disk,
        database(on, disk.place, monkeypatch) as postgres,
        installation(disk.place, postgres) as cloud,
    ):
        pool, there, gone = disk.place / "pool", set[str](), set[str]()
        start(cloud)
        source = with_a_source(cloud, pool)
        for number in range(CUTS):
            clients = Clients(cloud, source, there, number)
            clients.go_on(random.Random(number).randint(*BEFORE_THE_MARK))
            answered, deleted = set(there), set(clients.gone)
            disk.mark()
            clients.go_on(BEHIND_THE_MARK)
            disk.cut()
            cloud.kill("serve")
            clients.stop()
            there &= answered  # less what has been asked to go since
            gone |= deleted
            if postgres:
                postgres.stop(signal.SIGKILL)
            cut = disk.restore()
            if postgres:
                postgres.start()
            start(cloud)
            cloud.settle()
            found = cloud.call("GET", f"{VOLUMES}/detail?limit=1000")["volumes"]
            clones = {it["id"] for it in found if it["source_volid"]}
            assert {it["id"]: it["status"] for it in found if it["id"] in there} == dict.fromkeys(
                there, "available"
            )
            assert not gone & {it["id"] for it in found}
            assert not [it for it in clones if beginning(pool / "volumes" / it) != MARK]
            assert not cloud.violations()
            assert not [*pool.rglob("orphan-*")]
            numbers = (number + 1, cut.kept, cut.lost, len(there), len(clones), len(gone), 0)
            print(f"| {kind} | {on} | {' | '.join(map(str, numbers))} |")

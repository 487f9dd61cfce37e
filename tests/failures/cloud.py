"""A whole Pumice to hurt: a process for each role, real bytes and exports, a PostgreSQL that syncs."""

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from tests.postgres_server import PostgresServer
from tests.pumice_installation import PATIENCE, SERVERS, SNAPSHOTS, VOLUMES, Installation, state_directory

ROLES = ("scheduler", "volume", "compute")
CLIENTS = 8
"""How many requests are asked at once."""
SYNCING = {"listen_addresses": "", "max_connections": "200", "shared_buffers": "64MB"}
"""PostgreSQL's settings: nothing that makes it forget."""


class Cloud(Installation):
    """The processes, and what several tenants at once would ask of them."""

    def __init__(self, state_dir: Path, postgres: PostgresServer, hypervisor: str) -> None:
        super().__init__(
            state_dir,
            postgres.url(postgres.take()),
            PUMICE_COMPUTE__DRIVER=hypervisor,
            PUMICE_LOG_LEVEL="warning",
        )
        self.postgres = postgres
        self.clients = ThreadPoolExecutor(CLIENTS)
        self.dead: set[str] = set()
        """Those who were killed while they held operations, which are theirs until somebody takes them over."""

    def start_all(self) -> None:
        """Start every role, and wait until all are up."""
        self.launch("api", "--workers", "2")
        for role in ROLES:
            self.launch(role)
        self.log_in()
        self.wait(lambda: self.is_up(*ROLES), "its services do not come up")

    def kill_everything(self) -> None:
        """kill -9 of every process, the database's and the target daemon's among them."""
        workers = self.api_workers()
        for name in list(self.processes):
            self.kill(name)
        for pid in filter(None, [*workers, self.tgtd.pid()]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.postgres.stop(signal.SIGKILL)

    def api_workers(self) -> list[int]:
        """The processes that answer requests."""
        api = self.processes["api"].pid
        return [int(pid) for pid in Path(f"/proc/{api}/task/{api}/children").read_text().split()]

    def slow_down(self, seconds: float) -> None:
        """Make every call of the backend and of the target take so long from now on."""
        self.stop("volume")
        self.environment["PUMICE_BACKENDS"] = json.dumps({"files": {"delay": seconds}})
        self.launch("volume")
        self.wait(lambda: self.is_up("volume"), "the volume service does not come up")

    def wait_until_busy(self, role: str, number: int) -> None:
        """Until a process has this many operations in hand."""
        held = f"SELECT owner FROM operations WHERE owner LIKE '{role}%'"  # noqa: S608

        def is_busy() -> bool:
            return len([owner for owner in self.rows(held) if owner not in self.dead]) >= number

        self.wait(is_busy, f"the {role} does not take up {number} operations")

    def kill(self, name: str) -> None:
        """kill -9, and remember who held what."""
        super().kill(name)
        self.dead |= set(self.rows(f"SELECT owner FROM operations WHERE owner LIKE '{name}%'"))  # noqa: S608

    # --- many requests at once ------------------------------------------------------------------

    def ask_all(self, requests: Iterable[tuple[str, str, Any]]) -> list[Any]:
        """Many requests, which must all succeed; their answers."""
        return list(self.clients.map(lambda request: self.call(*request), requests))

    def create_all(self, number: int) -> list[str]:
        """Ask for so many volumes; their ids."""
        body = {"volume": {"size": 1}}
        return [made["volume"]["id"] for made in self.ask_all([("POST", VOLUMES, body)] * number)]

    def volumes(self, number: int) -> list[str]:
        """So many volumes that are available."""
        ids = self.create_all(number)
        self.settle()
        assert self.ended(VOLUMES, ids) == {"available": number}
        return ids

    def servers(self, number: int) -> list[str]:
        """So many servers that run, each from a volume of its own."""
        ids = []
        flavor = self.call("GET", "/compute/v2.1/flavors")["flavors"][0]["id"]
        for root in self.volumes(number):
            self.call("POST", f"{VOLUMES}/{root}/action", {"os-set_bootable": {"bootable": True}})
            ids.append(self.boot(root, flavor))
        self.settle()
        return ids

    def boot(self, root: str, flavor: str) -> str:
        """A server, accepted."""
        disk = {"boot_index": 0, "uuid": root, "source_type": "volume", "destination_type": "volume"}
        body = {"name": "s", "flavorRef": flavor, "networks": "none", "block_device_mapping_v2": [disk]}
        return str(self.call("POST", SERVERS, {"server": body})["server"]["id"])

    def ended(self, path: str, ids: Iterable[str]) -> Counter[str]:
        """How many of these volumes or snapshots are in which status."""
        kind = {VOLUMES: "volume", SNAPSHOTS: "snapshot"}[path]
        return Counter(self.clients.map(lambda one: self.status(f"{path}/{one}", kind), ids))

    @contextlib.contextmanager
    def asking(self, requests: Iterable[tuple[str, str, Any]]) -> Iterator[list["Future[httpx.Response]"]]:
        """Requests that may take long, each from a client of its own, while the block is executed."""
        asked = list(requests)
        with ThreadPoolExecutor(len(asked)) as waiting:
            yield [waiting.submit(self.http.request, how, path, json=body) for how, path, body in asked]

    def at_once(self, *asking: Callable[[], httpx.Response]) -> list[httpx.Response]:
        """Requests sent at the same moment, and what each was answered."""
        gate = threading.Barrier(len(asking))

        def ask(one: Callable[[], httpx.Response]) -> httpx.Response:
            gate.wait(PATIENCE)
            return one()

        with ThreadPoolExecutor(len(asking)) as clients:
            return list(clients.map(ask, asking))

    def seconds_to_create(self) -> float:
        """How long it takes a new volume to become available."""
        began = time.monotonic()
        [volume] = self.create_all(1)
        self.becomes(f"{VOLUMES}/{volume}", "volume", "available")
        return time.monotonic() - began


@contextlib.contextmanager
def a_cloud(postgres: PostgresServer, hypervisor: str) -> Iterator[Cloud]:
    """A fresh one, all of it running; nothing of it is left in the end."""
    with state_directory() as state_dir:
        cloud = Cloud(state_dir, postgres, hypervisor)
        try:
            cloud.start_all()
            yield cloud
        finally:
            cloud.clients.shutdown()
            cloud.close()
            cloud.end_daemons()

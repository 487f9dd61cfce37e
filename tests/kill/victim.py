"""A Pumice whose processes die where they are told to: one process, or one for each role on PostgreSQL.

The one keeps its backups in a directory, the other in a store that speaks S3.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.boot_sector import boot_sector
from tests.conformance.backend_rigs import an_xfs, has_xfs
from tests.kill.points import Point
from tests.kill.stories import Stories
from tests.pumice_installation import SERVERS, Installation, state_directory
from tests.s3_server import S3Server

from pumice.backends.backups.posix import PosixObjects
from pumice.backends.backups.s3 import S3Objects

ROLES = ("scheduler", "volume", "compute")
SHARING = "sharing"
"""The backend of files that share what they have in common, where the machine can; a Ceph does, too."""
LARGE = 7
"""GiB of a volume that may be moved."""
DIES_WITHIN = 300.0
"""Seconds from a request to the death that it leads to."""


class Victim(Installation):
    """Real parts throughout. On SQLite without a ``database_url``; ``settings`` are environment variables."""

    def __init__(
        self, state_dir: Path, database_url: str | None, sharing: Path | None = None, **settings: str
    ) -> None:
        """``sharing`` is a file system with reflink, for a small backend: nothing comes there by itself."""
        self.elsewhere = state_dir.parent / "elsewhere"
        """The pool of another backend, to which nothing comes by itself: it takes only what is as large as
        nothing else here. It is a cluster's, so what is moved there goes the way to another host."""
        other = {
            "cluster": "yonder",
            "target": "shared",
            "pools": {"pool": str(self.elsewhere)},
            "capacity_gb": 9,
            "filter_function": f"volume.size == {LARGE}",
        }
        backends: dict[str, Any] = {"files": {}, "other": other}
        if sharing:
            backends[SHARING] = {"pools": {"pool": str(sharing)}, "capacity_gb": 4}
        settings = {"PUMICE_BACKENDS": json.dumps(backends)} | settings
        settings["PUMICE_WEBHOOKS__ALLOW_NETWORKS"] = '["127.0.0.0/8"]'
        self.s3 = S3Server(state_dir.parent / "s3.log") if database_url else None
        self.backups: PosixObjects | S3Objects
        if self.s3:
            self.backups = self.s3.objects()
            settings |= self.s3.environment(self.backups.access.bucket)
        else:
            directory = state_dir.parent / "backups"
            directory.mkdir()
            self.backups = PosixObjects(directory)
            settings |= {"PUMICE_BACKUP__DRIVER": "posix", "PUMICE_BACKUP__PATH": str(directory)}
        super().__init__(state_dir, database_url, PUMICE_LOG_LEVEL="warning", **settings)
        self.stories = Stories(self)
        self.workers = ROLES if database_url else ("serve",)
        """The processes that carry operations."""

    def start_all(self) -> None:
        """Start every process, and wait until all are up; then a guest that lets go of its disks."""
        if self.database_url:
            self.launch("api")
        for name in self.workers:
            self.launch(name)
        self.log_in()
        self.wait(lambda: self.is_up(*self.workers), "its services do not come up")
        self.stories.image = self.stories.upload(boot_sector(), "raw")

    def is_up(self, *names: str) -> bool:
        """Whether the services of these processes are, with each backend: what they do is asked for at once."""
        if not super().is_up(*names):
            return False
        if not {"serve", "volume"} & {*names}:
            return True
        services = self.call("GET", "/volume/v3/os-services")["services"]
        up = {service["host"].partition("@")[2] for service in services if service["state"] == "up"}
        backends = json.loads(self.environment["PUMICE_BACKENDS"]).keys()
        return backends <= up and "cinder-backup" in self.services_up()

    def name_of(self, role: str) -> str:
        """The process that has a role."""
        return role if self.database_url else "serve"

    def die_at(self, points: list[Point], request: Callable[[], object], fails: Point | None = None) -> None:
        """Make a request; whichever process carries it is killed at each of these points in turn.

        With ``fails`` the operation fails there first. In the end every process runs, and nothing is under way.
        """
        faults: dict[str, list[str]] = {}
        for point in points:
            faults.setdefault(self.name_of(point.role), []).append(point.fault)
        failing = {self.name_of(fails.role): f"{fails.fault}=fail"} if fails else {}

        def start(name: str) -> None:
            wrong = [failing.get(name), *faults.get(name, [])[:1]]
            self.launch(name, PUMICE_FAULT=",".join(filter(None, wrong)))

        touched = [name for name in self.workers if name in faults or name in failing]
        for name in touched:
            self.stop(name)
            start(name)
        self.wait(self.answers, "it does not answer")
        self.wait(lambda: self.is_up(*touched), "its services do not come up")
        with ThreadPoolExecutor(1) as client:
            answer = client.submit(request)
            while any(faults.values()):
                name = self._whoever_dies(faults, answer)
                faults[name].pop(0)
                start(name)
        self.wait(self.answers, "it does not answer")
        self.settle()
        for name in failing:
            self.stop(name)
            self.launch(name)
        self.wait(self.answers, "it does not answer")
        self.wait(lambda: self.is_up(*self.workers), "its services do not come up")

    def end_guests(self) -> None:
        """Delete the servers that there are: a guest that idles takes a twentieth of a processor."""
        for server in self._servers():
            self.call("DELETE", f"{SERVERS}/{server}")
        self.wait(lambda: not self._servers(), "its servers are not deleted")

    def _servers(self) -> list[str]:
        return [server["id"] for server in self.call("GET", SERVERS)["servers"]]

    def _whoever_dies(self, faults: dict[str, list[str]], answer: "Future[object]") -> str:
        """Wait for the next death. The process's name."""
        give_up = time.monotonic() + DIES_WITHIN
        while True:
            for name in filter(faults.get, faults):
                if self.processes[name].poll() is not None:
                    self.wait_for_death(name)
                    return name
            assert time.monotonic() < give_up, f"nobody dies at {faults}: {self._words(answer)}"
            time.sleep(0.02)

    def _words(self, answer: "Future[object]") -> str:
        said = answer.exception() or answer.result() if answer.done() else "no answer"
        return f"{getattr(said, 'text', said)}; under way: {self.under_way()}"


@contextlib.contextmanager
def a_victim(database_url: str | None, **settings: str) -> Iterator[Victim]:
    """A fresh one, all of it running; nothing of it is left in the end."""
    with contextlib.ExitStack() as stack:
        state_dir = stack.enter_context(state_directory())
        sharing = stack.enter_context(an_xfs(state_dir.parent)) if has_xfs() else None
        victim = Victim(state_dir, database_url, sharing, **settings)
        try:
            victim.start_all()
            yield victim
        finally:
            victim.close()
            if victim.s3:
                victim.s3.close()
            victim.end_daemons()

"""An installation of Pumice for tests: its state directory, its database, its processes, and a client for it.

Every process is a real one, and may be killed at any moment: ``pumice serve`` alone, or one of each role.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import asyncpg
import httpx
import yaml
from tests.patience import PATIENCE, looks
from tests.ports import free_port
from tests.warm_start import WarmProcess, can_start

from pumice.backends.targets.tgtd import TgtDaemon
from pumice.hypervisor.libvirtd import LibvirtDaemon

SETTLED = 600.0
"""Seconds until what is still under way counts as stuck."""
VOLUMES, SNAPSHOTS, ATTACHMENTS = "/volume/v3/volumes", "/volume/v3/snapshots", "/volume/v3/attachments"
WEBHOOKS = "/pumice/v1/webhooks"
BACKUPS, GROUPS, GROUP_TYPES = (f"/volume/v3/{name}" for name in ("backups", "groups", "group_types"))
GROUP_SNAPSHOTS = "/volume/v3/group_snapshots"
SERVERS, IMAGES = "/compute/v2.1/servers", "/image/v2/images"
SERVICES = {
    "serve": {"cinder-scheduler", "cinder-volume", "nova-compute"},
    "scheduler": {"cinder-scheduler"},
    "volume": {"cinder-volume"},
    "compute": {"nova-compute"},
}
"""What is up once a process works."""


class Installation:
    """Its processes are named after the command that they run: ``serve``, or ``api``, ``scheduler``…

    On SQLite unless ``database_url`` names a PostgreSQL; on real parts unless ``environment`` says otherwise.
    """

    def __init__(self, state_dir: Path, database_url: str | None = None, **environment: str) -> None:
        self.state_dir = state_dir
        _share_what_qemu_can_do(state_dir / "compute")
        self.database_url = database_url
        self.port = free_port()
        self.watched = free_port()
        """Where ``serve`` or ``api`` answers ``/metrics`` and the long ``/healthcheck``."""
        self.environment = {
            **os.environ,
            "PUMICE_STATE_DIR": str(state_dir),
            "PUMICE_HOST": "here",
            "PUMICE_API__PORT": str(self.port),
            "PUMICE_METRICS__PORTS": json.dumps({"api": self.watched}),
            "PUMICE_TGT__PORTAL": f"127.0.0.1:{free_port()}",
            "PUMICE_QUOTAS": json.dumps({"volumes": -1, "gigabytes": -1, "snapshots": -1}),
            "PUMICE_LOG_FORMAT": "text",
            **({"PUMICE_DATABASE_URL": database_url} if database_url else {}),
            **environment,
        }
        self.python = sys.executable
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        limits = httpx.Limits(
            keepalive_expiry=2
        )  # before the server, which closes what is idle for five seconds
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, limits=limits)

    # --- processes ------------------------------------------------------------------------------

    def launch(self, name: str, *words: str, host: str = "here", **environment: str) -> subprocess.Popen[bytes]:
        """Start a process, and wait for nothing. Another host's is called ``NAME HOST``."""
        called = name if host == "here" else f"{name} {host}"
        with (self.state_dir / f"{called}.log").open("ab") as log:
            words = ("--host", host, name, *words)
            process = self._start(words, {**self.environment, **environment}, log, log)
        self.processes[called] = process
        return process

    def _start(
        self, words: Sequence[str], env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        if can_start(self.python, env):
            return WarmProcess(words, env, out, err)
        return subprocess.Popen([self.python, "-m", "pumice", *words], env=env, stdout=out, stderr=err)

    def kill(self, name: str) -> None:
        """kill -9, and nothing after it but, of an API, the end of its workers, which still have its port."""
        self.processes[name].kill()
        self.processes.pop(name).wait(PATIENCE)
        if name == "api":
            self.wait(self._nobody_listens, "the workers of an API that was killed do not end")

    def _nobody_listens(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) != 0

    def stop(self, name: str) -> int:
        """Ask a process to stop; its exit code."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE)

    def wait_for_death(self, name: str) -> None:
        """Until a fault has killed it."""
        assert self.processes.pop(name).wait(PATIENCE) == -signal.SIGKILL

    def close(self) -> None:
        """Stop whatever runs. The daemons go on, as they should."""
        for name in list(self.processes):
            process = self.processes[name]
            try:
                self.stop(name)
            except subprocess.TimeoutExpired:
                process.kill()
        self.http.close()

    def end_daemons(self) -> None:
        """tgtd, libvirtd and the guests outlive the processes; here they go."""

        async def end() -> None:
            await self.tgtd.stop(force=True)
            await self.libvirtd.stop(force=True)

        asyncio.run(end())

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``pumice`` to its end."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._start(words, {**self.environment, **environment}, out, err)
            try:
                code = process.wait(SETTLED)
            finally:
                process.kill()
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode())
        return subprocess.CompletedProcess(process.args, code, *said)

    def log(self, name: str) -> str:
        """What the processes of a name have said."""
        return (self.state_dir / f"{name}.log").read_text()

    @property
    def tgtd(self) -> TgtDaemon:
        """The target daemon that the volume process runs."""
        return TgtDaemon(self.state_dir / "tgt", self.environment["PUMICE_TGT__PORTAL"])

    @property
    def libvirtd(self) -> LibvirtDaemon:
        """The libvirtd that the compute process runs."""
        compute = self.state_dir / "compute"
        return LibvirtDaemon(compute / "libvirt", compute / "cache")

    # --- the client -----------------------------------------------------------------------------

    def log_in(self) -> None:
        """As the administrator, once the API answers."""
        self.wait(self.answers, "it does not answer")
        self.http.headers["X-Auth-Token"] = self.token("admin", "admin")
        self.http.headers["OpenStack-API-Version"] = "volume 3.71, compute 2.89"

    def token(self, name: str, project: str) -> str:
        """A token of one of the first users."""
        password = yaml.safe_load((self.state_dir / "passwords.yaml").read_text())[name]
        user = {"name": name, "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self.http.post("/identity/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    def answers(self) -> bool:
        """Whether the API does."""
        try:
            return self.http.get("/healthcheck").status_code == 200
        except httpx.TransportError:
            return False

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request that must succeed."""
        answer = self.http.request(method, path, json=body)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def services_up(self) -> set[str]:
        """The services that are, by their binaries' names."""
        found = self.call("GET", "/volume/v3/os-services")["services"]
        found += self.call("GET", "/compute/v2.1/os-services")["services"]
        return {service["binary"] for service in found if service["state"] == "up"}

    def is_up(self, *names: str) -> bool:
        """Whether the services of these processes are."""
        return set().union(*(SERVICES.get(name, set()) for name in names)) <= self.services_up()

    def create(self, name: str = "v", **wanted: Any) -> str:
        """A volume of 1 GiB, accepted."""
        body = {"volume": {"size": 1, "name": name, **wanted}}
        return str(self.call("POST", VOLUMES, body)["volume"]["id"])

    def make_types(self, *backends: str) -> None:
        """A volume type of the name of each of the backends, for that alone, once each has its one pool."""
        pools = "/volume/v3/scheduler-stats/get_pools"
        self.wait(lambda: len(self.call("GET", pools)["pools"]) == len(backends), "its pools do not come up")
        for name in backends:
            specs = {"name": name, "extra_specs": {"volume_backend_name": name}}
            self.call("POST", "/volume/v3/types", {"volume_type": specs})

    def status(self, path: str, kind: str) -> str:
        """The status of a thing; ``gone`` when there is none."""
        answer = self.http.get(path)
        return "gone" if answer.status_code == 404 else str(answer.json()[kind]["status"])

    def becomes(self, path: str, kind: str, status: str) -> None:
        """Wait until a thing has a status."""
        self.wait(lambda: self.status(path, kind) == status, f"{path} does not become {status}")

    def wait(self, done: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
        """Until ``done``. Raises ``AssertionError`` with ``otherwise`` when it takes too long."""
        give_up = time.monotonic() + seconds
        for _ in looks():
            if done():
                return
            if time.monotonic() > give_up:
                logs = {name: self.log(name)[-2000:] for name in self.processes}
                raise AssertionError(f"{otherwise}: {logs}")

    # --- what must be true ----------------------------------------------------------------------

    def rows(self, statement: str) -> list[str]:
        """What the database answers, a line for each row, its columns separated by ``|``."""
        if self.database_url:
            found = asyncio.run(_fetch(self.database_url, statement))
        else:
            with contextlib.closing(sqlite3.connect(self.state_dir / "pumice.db")) as db:
                found = db.execute(statement).fetchall()
        return ["|".join(map(str, row)) for row in found]

    def under_way(self) -> list[str]:
        """The operations that have not ended."""
        columns = "kind, state, position, place, tries, error"
        return self.rows(f"SELECT {columns} FROM operations WHERE state NOT IN ('done', 'failed')")  # noqa: S608

    def settle(self, seconds: float = SETTLED) -> None:
        """Until nothing is under way."""
        give_up = time.monotonic() + seconds
        for _ in looks():
            if not (left := self.under_way()):
                return
            assert time.monotonic() < give_up, f"stuck: {left}"

    def violations(self) -> list[str]:
        """What the audit says; empty when all is well."""
        audit = self.command("audit")
        return (audit.stdout + audit.stderr).splitlines() if audit.returncode else []


async def _fetch(url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


def _share_what_qemu_can_do(compute: Path) -> None:
    """Find it out once for all installations: that takes seconds of a first start."""
    shared, own = Path(__file__).parents[1] / ".cache" / "libvirt", compute / "cache"
    if not own.exists():
        shared.mkdir(parents=True, exist_ok=True)
        compute.mkdir(parents=True, exist_ok=True)
        own.symlink_to(shared)


@contextlib.contextmanager
def state_directory() -> Iterator[Path]:
    """A directory for a state, short because of the limit on the paths of sockets; gone in the end."""
    directory = Path(tempfile.mkdtemp(prefix="pumice-"))
    (directory / "state").mkdir()
    try:
        yield directory / "state"
    finally:
        shutil.rmtree(directory, ignore_errors=True)

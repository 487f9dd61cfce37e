"""A real ``pumice serve`` that can be told to die at a step, and a client for it."""

import asyncio
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from pumice.backends.targets.tgtd import TgtDaemon
from pumice.hypervisor.libvirtd import LibvirtDaemon

PATIENCE = 400.0 if os.environ.get("PUMICE_KERNEL_LANE") else 60.0  # a guest's processor is emulated


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PumiceProcess:
    """One installation: its state directory, and the process that serves it at the moment."""

    def __init__(self, state_dir: Path, **environment: str) -> None:
        self.state_dir = state_dir
        self.port = free_port()
        self.environment = {
            **os.environ,
            "PUMICE_STATE_DIR": str(state_dir),
            "PUMICE_HOST": "here",
            "PUMICE_API__PORT": str(self.port),
            "PUMICE_TGT__PORTAL": f"127.0.0.1:{free_port()}",
            "PUMICE_QUOTAS": json.dumps({"volumes": -1, "gigabytes": -1}),
            "PUMICE_LOG_LEVEL": "warning",
            **environment,
        }
        self.awaited = {"cinder-volume", "nova-compute"}
        """The services that are to be up before anything is asked."""
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    @property
    def tgtd(self) -> TgtDaemon:
        """The target daemon that the process runs."""
        return TgtDaemon(self.state_dir / "tgt", self.environment["PUMICE_TGT__PORTAL"])

    @property
    def libvirtd(self) -> LibvirtDaemon:
        """The libvirtd that the process runs."""
        compute = self.state_dir / "compute"
        return LibvirtDaemon(compute / "libvirt", compute / "cache")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "pumice", *words]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=120)

    def start(self, fault: str | None = None) -> None:
        """Start, and wait until it answers and its backend and hypervisor are up."""
        environment = {**self.environment, **({"PUMICE_FAULT": fault} if fault else {})}
        with (self.state_dir.parent / "serve.log").open("ab") as log:
            argv = [sys.executable, "-m", "pumice", "serve"]
            self.process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        self.wait(self._answers, "it does not answer")
        if not fault:
            assert self.process.poll() is None, (self.state_dir.parent / "serve.log").read_text()[-4000:]
            self.log_in()
            self.wait(self._has_services, "its services do not come up")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            return True  # it died at the fault, while it recovered
        try:
            return self.http.get("/healthcheck").status_code == 200
        except httpx.TransportError:
            return False

    def _has_services(self) -> bool:
        services = self.call("GET", "/volume/v3/os-services")["services"]
        services += self.call("GET", "/compute/v2.1/os-services")["services"]
        up = {service["binary"] for service in services if service["state"] == "up"}
        return up.issuperset(self.awaited)

    def log_in(self) -> None:
        password = yaml.safe_load((self.state_dir / "passwords.yaml").read_text())["admin"]
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self.http.post("/identity/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        self.http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        self.http.headers["OpenStack-API-Version"] = "volume 3.71, compute 2.89"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def wait_for_death(self) -> None:
        """Until the fault has killed it."""
        assert self.process is not None
        assert self.process.wait(PATIENCE) == -signal.SIGKILL

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self.http.close()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def wait(self, done: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
        give_up = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < give_up, otherwise
            time.sleep(0.02)

    def under_way(self) -> list[str]:
        """The operations that have not ended."""
        with sqlite3.connect(self.state_dir / "pumice.db") as db:
            rows = db.execute(
                "SELECT kind, state, position, error FROM operations WHERE state NOT IN ('done', 'failed')"
            )
            return [" ".join(map(str, row)) for row in rows]

    def settle(self) -> None:
        """Until nothing is under way."""
        self.wait(lambda: not self.under_way(), f"stuck: {self.under_way()}", 2 * PATIENCE)

    def breaches(self) -> str:
        """What the audit says; empty when all is well."""
        audit = self.command("audit")
        return audit.stdout + audit.stderr if audit.returncode else ""


@contextmanager
def installation(**environment: str) -> Iterator[PumiceProcess]:
    """A fresh one, not started yet; nothing of it is left in the end."""
    directory = Path(tempfile.mkdtemp(prefix="pumice-"))  # short, because of the limit on the paths of sockets
    pumice = PumiceProcess(directory / "state", **environment)
    pumice.state_dir.mkdir()
    log = directory / "serve.log"
    log.touch()
    try:
        yield pumice
    finally:
        pumice.stop()
        pumice.http.close()
        print(log.read_text())  # shown when the test fails
        asyncio.run(end_daemons(pumice))
        shutil.rmtree(directory, ignore_errors=True)


async def end_daemons(pumice: PumiceProcess) -> None:
    """tgtd, libvirtd and the guests outlive the process, as they should; here they go."""
    await pumice.tgtd.stop(force=True)
    await pumice.libvirtd.stop(force=True)

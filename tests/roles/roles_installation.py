"""An installation of one process for each role, on PostgreSQL, with fake drivers; and a client for it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml

PATIENCE = 60.0
VOLUMES, SERVERS = "/volume/v3/volumes", "/compute/v2.1/servers"
FAKE = {"driver": "fake", "target": "fake", "delay": 0.2}


class Installation:
    """Its state directory, its database, and its processes by role."""

    def __init__(self, state_dir: Path, database_url: str, backends: int = 1) -> None:
        self.state_dir = state_dir
        self.port = _free_port()
        self.environment = {
            **os.environ,
            "PUMICE_STATE_DIR": str(state_dir),
            "PUMICE_DATABASE_URL": database_url,
            "PUMICE_HOST": "here",
            "PUMICE_API__PORT": str(self.port),
            "PUMICE_QUOTAS": json.dumps({"volumes": -1, "gigabytes": -1}),
            "PUMICE_BACKENDS": json.dumps({f"fake{n}": FAKE for n in range(backends)}),
            "PUMICE_COMPUTE__DRIVER": "fake",
            "PUMICE_LOG_FORMAT": "text",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def start(self, role: str, *words: str, host: str = "here") -> subprocess.Popen[bytes]:
        """Start a role's process."""
        argv = [sys.executable, "-m", "pumice", "--host", host, role, *words]
        with (self.state_dir / f"{role}.log").open("ab") as log:
            process = subprocess.Popen(argv, env=self.environment, stdout=log, stderr=log)
        self.processes[role] = process
        return process

    def start_all(self) -> None:
        """Start every role, and wait until all answer."""
        self.start("api", "--workers", "2")
        for role in ("scheduler", "volume", "compute"):
            self.start(role)
        self.log_in()
        self.wait(self._all_up, "its services do not come up")

    def kill(self, role: str) -> None:
        """kill -9, and nothing after it."""
        self.processes[role].kill()
        self.processes.pop(role).wait(PATIENCE)

    def stop(self, role: str) -> int:
        """Ask a role's process to stop; its exit code."""
        process = self.processes.pop(role)
        process.send_signal(signal.SIGTERM)
        return process.wait(PATIENCE)

    def close(self) -> None:
        """Stop whatever runs."""
        for role in list(self.processes):
            try:
                self.stop(role)
            except subprocess.TimeoutExpired:
                self.processes[role].kill()
        self.http.close()

    def log(self, role: str) -> str:
        """What a role's processes have said."""
        return (self.state_dir / f"{role}.log").read_text()

    # --- the client -----------------------------------------------------------------------------

    def log_in(self) -> None:
        """As the administrator, once the API answers."""
        self.wait(self._answers, "it does not answer")
        password = yaml.safe_load((self.state_dir / "passwords.yaml").read_text())["admin"]
        user = {"name": "admin", "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = self.http.post("/identity/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        self.http.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]
        self.http.headers["OpenStack-API-Version"] = "volume 3.71, compute 2.89"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A request that must succeed."""
        answer = self.http.request(method, path, json=body)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def create(self, name: str = "v") -> str:
        """A volume, accepted."""
        return str(self.call("POST", VOLUMES, {"volume": {"size": 1, "name": name}})["volume"]["id"])

    def boot(self, volume: str) -> str:
        """A server that boots from the volume, accepted."""
        disk = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
        flavor = self.call("GET", "/compute/v2.1/flavors")["flavors"][0]["id"]
        body = {"name": "s", "flavorRef": flavor, "networks": "none", "block_device_mapping_v2": [disk]}
        return str(self.call("POST", SERVERS, {"server": body})["server"]["id"])

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
        while not done():
            logs = {role: self.log(role)[-2000:] for role in self.processes}
            assert time.monotonic() < give_up, f"{otherwise}: {logs}"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return self.http.get("/healthcheck").status_code == 200
        except httpx.TransportError:
            return False

    def _all_up(self) -> bool:
        found = self.call("GET", "/volume/v3/os-services")["services"]
        found += self.call("GET", "/compute/v2.1/os-services")["services"]
        up = {service["binary"] for service in found if service["state"] == "up"}
        return {"cinder-scheduler", "cinder-volume", "nova-compute"} <= up


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A Pumice for clients to speak to: a real ``pumice serve`` on a free port, on fakes or on real parts."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import yaml
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from tests.patience import PATIENCE, looks
from tests.ports import free_port

from pumice.backends.targets.tgtd import TgtDaemon
from pumice.hypervisor.libvirtd import LibvirtDaemon

CLIENTS_BIN = Path(sys.executable).parent
"""Where ``openstack`` and ``cinder`` are."""

FAKES = {
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
    "PUMICE_COMPUTE__DRIVER": "fake",
}


class Installation:
    """One Pumice, served for as long as the ``with`` lasts; then nothing of it is left.

    On real parts: the ``files`` backend, a tgtd and a libvirtd of its own. ``environment`` has settings beside
    those that it has anyway, or in their place.
    """

    def __init__(self, *, real: bool, **environment: str) -> None:
        self.real = real
        # Paths of libvirt's sockets are limited to about a hundred characters.
        self.directory = Path(tempfile.mkdtemp(prefix="pumice-"))
        self.state_dir = self.directory / "state"
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.portal = f"127.0.0.1:{free_port()}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PUMICE_"))}
        self.environment = {
            **clean,
            "PUMICE_STATE_DIR": str(self.state_dir),
            "PUMICE_HOST": "here",
            "PUMICE_API__PORT": str(port),
            "PUMICE_METRICS__PORTS": json.dumps({"api": free_port()}),
            "PUMICE_TGT__PORTAL": self.portal,
            "PUMICE_QUOTAS": json.dumps({"volumes": 10_000, "gigabytes": 100_000, "snapshots": 10_000}),
            "PUMICE_LOG_LEVEL": "warning",
            **({} if real else FAKES),
            **environment,
        }

    @property
    def clouds_file(self) -> Path:
        """The ``clouds.yaml`` that it writes at its start."""
        return self.state_dir / "clouds.yaml"

    @property
    def passwords(self) -> dict[str, str]:
        """Its first users' passwords."""
        kept: dict[str, str] = yaml.safe_load((self.state_dir / "passwords.yaml").read_text())
        return kept

    def cloud(self, name: str = "pumice") -> Connection:
        """openstacksdk, logged in as ``clouds.yaml`` says under ``name``."""
        config = OpenStackConfig(config_files=[str(self.clouds_file)], load_envvars=False)
        return Connection(config=config.get_one(name))

    def __enter__(self) -> Self:
        with (self.directory / "serve.log").open("ab") as log:
            argv = [sys.executable, "-m", "pumice", "serve"]
            self.process = subprocess.Popen(
                argv, env=self.environment, cwd=self.directory, stdout=log, stderr=log
            )
        try:
            wait(self._answers, "Pumice does not answer")
            wait(self._serves, "its services do not come up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        if self.real:
            asyncio.run(self._end_daemons())
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self) -> str:
        """What it wrote."""
        return (self.directory / "serve.log").read_text()

    def violations(self) -> str:
        """What its audit finds; empty when nothing is left behind and all is as it should be."""
        argv = [sys.executable, "-m", "pumice", "audit"]
        audit = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)
        return audit.stdout + audit.stderr if audit.returncode else ""

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"Pumice died: {self.log()}"
        try:
            return httpx.get(f"{self.url}/healthcheck").status_code == 200
        except httpx.TransportError:
            return False

    def _serves(self) -> bool:
        """Whether the volume host and the compute host have reported."""
        with httpx.Client(base_url=self.url, headers={"X-Auth-Token": self._token()}) as http:
            up = {
                service["binary"]
                for path in ("/volume/v3/os-services", "/compute/v2.1/os-services")
                for service in http.get(path).json()["services"]
                if service["state"] == "up"
            }
        return {"cinder-volume", "nova-compute"} <= up

    def _token(self) -> str:
        user = {"name": "admin", "domain": {"id": "default"}, "password": self.passwords["admin"]}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        return httpx.post(f"{self.url}/identity/v3/auth/tokens", json=body).headers["X-Subject-Token"]

    async def _end_daemons(self) -> None:
        """tgtd, libvirtd and the guests outlive the process, as they should; here they go."""
        await TgtDaemon(self.state_dir / "tgt", self.portal).stop(force=True)
        compute = self.state_dir / "compute"
        await LibvirtDaemon(compute / "libvirt", compute / "cache").stop(force=True)


def wait(done: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
    """Until ``done``; fails with the words ``otherwise`` when that takes too long."""
    give_up = time.monotonic() + seconds
    for _ in looks():
        if done():
            return
        assert time.monotonic() < give_up, otherwise

"""A Pumice to measure: started as ``pumice serve`` starts it, in a state directory of its own."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.client import Connection, connect

PASSWORD = "benchmark"  # noqa: S105 (of a Pumice that lives for a minute)
SETTINGS = """
state_dir = "{state}"

[api]
port = {port}

[identity]
demo_password = "{password}"

[compute]
driver = "fake"

[backends.fake]
driver = "fake"
target = "fake"

[quotas]
volumes = -1
gigabytes = -1
snapshots = -1
"""
TICKS = os.sysconf("SC_CLK_TCK")


class Serving:
    """One running Pumice: everything in one process, SQLite, a backend and a target that cost nothing."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = free_port()
        self.headers: dict[str, str] = {}
        self.first_answer = 0.0
        self.process: subprocess.Popen[bytes]

    async def __aenter__(self) -> "Serving":
        """Start it and wait for its first answer; ``first_answer`` is how long that took, in seconds."""
        settings = self.state / "pumice.toml"
        self.state.mkdir(exist_ok=True)
        settings.write_text(SETTINGS.format(state=self.state, port=self.port, password=PASSWORD))
        began = time.perf_counter()
        with (self.state / "log").open("ab") as log:
            command = [sys.executable, "-m", "pumice", "serve"]
            environment = os.environ | {"PUMICE_CONFIG": str(settings)}
            self.process = subprocess.Popen(command, stderr=log, env=environment)  # noqa: ASYNC220
        while self.process.poll() is None:
            try:
                connection = await connect(self.port, {})
            except OSError:
                await asyncio.sleep(0.005)
                continue
            await connection.ask("GET", "/volume/")
            self.first_answer = time.perf_counter() - began
            connection.close()
            return self
        raise SystemExit(f"pumice serve ended with {self.process.returncode}: see {self.state / 'log'}.")

    async def log_in(self) -> None:
        """From now on clients are the user ``demo``."""
        user = {"name": "demo", "domain": {"id": "default"}, "password": PASSWORD}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "demo", "domain": {"id": "default"}}},
        }
        connection = await connect(self.port, {})
        answer = (await connection.ask("POST", "/identity/v3/auth/tokens", {"auth": auth})).expect(201)
        connection.close()
        token = answer.header("X-Subject-Token")
        self.headers = {"X-Auth-Token": token, "OpenStack-API-Version": "volume 3.71"}

    async def client(self) -> Connection:
        """A connection of the user's."""
        return await connect(self.port, self.headers)

    async def __aexit__(self, *_: object) -> None:
        """Stop it as Ctrl-C does."""
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 30)

    def cpu(self) -> float:
        """Seconds of CPU it has used, its children that ended included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS

    def memory(self) -> tuple[float, float]:
        """PSS and RSS in MiB."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in rollup[1:]}
        return kib["Pss"] / 1024, kib["Rss"] / 1024


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

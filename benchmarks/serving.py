"""A Pumice to measure: one process, or one for each role, started as anybody starts them, on fresh state."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from benchmarks.client import Connection, connect

PASSWORD = "benchmark"  # noqa: S105 (of a Pumice that lives for a minute)
SETTINGS = """
state_dir = "{state}"
host = "here"
{database}

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
ONE = ("serve",)
EACH = ("serve --workers 2",)
TICKS = os.sysconf("SC_CLK_TCK")


class Serving:
    """One running Pumice of these ``roles``, with a backend and a target that cost nothing."""

    def __init__(self, state: Path, roles: Sequence[str] = ONE, database_url: str | None = None) -> None:
        self.state = state
        self.roles = roles
        self.database = f'database_url = "{database_url}"' if database_url else ""
        self.port = free_port()
        self.headers: dict[str, str] = {}
        self.first_answer = 0.0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """By role."""

    async def __aenter__(self) -> "Serving":
        """Start it and wait for its first answer; ``first_answer`` is how long that took, in seconds."""
        settings = self.state / "pumice.toml"
        self.state.mkdir(exist_ok=True)
        settings.write_text(
            SETTINGS.format(state=self.state, port=self.port, password=PASSWORD, database=self.database)
        )
        began = time.perf_counter()
        with (self.state / "log").open("ab") as log:
            environment = os.environ | {"PUMICE_CONFIG": str(settings)}
            for role in self.roles:
                command = [sys.executable, "-m", "pumice", *role.split()]
                process = subprocess.Popen(command, stderr=log, env=environment)  # noqa: ASYNC220
                self.processes[role.split()[0]] = process
        while not (ended := [role for role, it in self.processes.items() if it.poll() is not None]):
            try:
                connection = await connect(self.port, {})
            except OSError:
                await asyncio.sleep(0.005)
                continue
            await connection.ask("GET", "/volume/")
            self.first_answer = time.perf_counter() - began
            connection.close()
            return self
        await self.__aexit__()
        raise SystemExit(f"pumice {ended[0]} ended: {(self.state / 'log').read_text()[-2000:]}")

    async def log_in(self, name: str = "demo") -> None:
        """From now on clients are this user, ``demo`` or ``admin``, in the project of that name."""
        known = yaml.safe_load((self.state / "passwords.yaml").read_text())
        user = {"name": name, "domain": {"id": "default"}, "password": known.get(name, PASSWORD)}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": name, "domain": {"id": "default"}}},
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
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            await asyncio.to_thread(process.wait, 30)

    def cpu(self) -> float:
        """Seconds of CPU that its processes have used."""
        return sum(cpu(process.pid) for process in self.processes.values())

    def memory(self) -> dict[str, float]:
        """PSS in MiB by role: the memory of its processes, of what they share with others their share."""
        return {role: sum(pss(one) for one in family(process.pid)) for role, process in self.processes.items()}


def family(process: int) -> Iterator[int]:
    """A process and all that it has started."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text().split():
                yield from family(int(child))


def cpu(process: int) -> float:
    """Seconds of CPU that a process and its children have used, those that ended included."""
    used = 0.0
    for one in family(process):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            used += cpu_of(one)
    return used


def cpu_of(process: int) -> float:
    """Seconds of CPU that a process has used, and those of its children that have ended."""
    used = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, used)) / TICKS


def pss(process: int) -> float:
    """A process's proportional set size in MiB."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

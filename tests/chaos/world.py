"""A whole installation of real processes on hosts of their own, each of which can be hurt and healed.

    hub        PostgreSQL (fsync on), the API with two workers, a scheduler
    control    another scheduler, which may be cut off
    volume1…2  `pumice volume`: two backends with files in a small file system each, and a tgtd
    compute1…  `pumice compute`: a libvirtd and its guests

Volume hosts share a store of backups. Each has a small disk for its state, and a clock of its own, up to
an hour from the others'. With ``before`` everything is first started in the version before, and what starts
later is this version: an upgrade.

A process that ends although nobody held it down is started again, as an init system would (``keep_up``). This
module knows nothing of what is asked of the installation, nor when something is to go wrong.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import yaml
from tests import version_before
from tests.chaos.network import HUB, Network
from tests.ports import free_port
from tests.postgres_server import PostgresServer

from pumice.backends.targets.tgtd import TgtDaemon
from pumice.hypervisor.libvirtd import LibvirtDaemon

LEASE_SECONDS = 5.0
POOL_BYTES = 640 * 1024 * 1024
POOLS = {"files": "pool", "spare": "spare"}
"""A volume host's backends, and the pool of each, which is a directory of this name."""
STATE_BYTES = 320 * 1024 * 1024
_DISKS = {"disk": POOLS["files"], "spare": POOLS["spare"]}
LIMITED = ("volumes", "gigabytes", "snapshots", "backups", "backup_gigabytes", "groups")
"""What a quota counts."""
CONTROL = "control"
CLOCKS = {HUB: 0, CONTROL: 3600, "volume1": -3600, "volume2": 1800, "compute1": -1800}
"""How many seconds the clock of each host is ahead."""
_AHEAD = "import time; real = time.time; time.time = lambda: real() + {seconds}"
PATIENCE = 180.0
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg says when the database is not there, or goes at this moment."""
_MOUNT, _UMOUNT = "mount", "umount"


class World:
    """The installation. ``tell`` is called with everything that happens to it."""

    def __init__(
        self, volume_hosts: int, compute_hosts: int, tell: Callable[[str], None], *, before: bool
    ) -> None:
        self.tell = tell
        self.before = before
        self.volume_hosts = [f"volume{n}" for n in range(1, volume_hosts + 1)]
        self.compute_hosts = [f"compute{n}" for n in range(1, compute_hosts + 1)]
        self.hosts = [*self.volume_hosts, *self.compute_hosts]
        self.directory = Path(tempfile.mkdtemp(prefix="pumice-"))  # short: sockets lie in it
        self.directory.chmod(0o711)  # PostgreSQL's user finds its rules in it
        self.network = Network([CONTROL, *self.hosts])
        self.can_hang: list[str] = []
        """What can be frozen, as in ``disk of volume1``."""
        self.lost: list[str] = []
        """Hosts that never come back."""
        self.held: set[str] = set()
        """Processes that are not to be started again for now."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.old: set[str] = set()
        """Those of the version before."""
        self.paused: set[int] = set()
        """What ``harm`` has stopped for now."""
        self.ended_by_themselves = 0
        self.url = f"http://127.0.0.1:{free_port()}"
        self.project = ""
        """The id of the project of whoever is logged in."""
        self.postgres: PostgresServer
        self._commands = {
            "api": (HUB, ["api", "--workers", "2"]),
            "scheduler1": (HUB, ["scheduler"]),
            "scheduler2": (CONTROL, ["scheduler"]),
            **{host: (host, ["volume"]) for host in self.volume_hosts},
            **{host: (host, ["compute"]) for host in self.compute_hosts},
        }
        self.names = list(self._commands)
        port = 3260 if self.network.can_cut else None
        self._portals = {
            host: f"{self.network.address[host]}:{port or free_port()}" for host in self.volume_hosts
        }

    def _start_postgres(self) -> None:
        rules = self.directory / "pg_hba.conf"
        rules.write_text("local all all trust\nhost all all samenet trust\n")
        rules.chmod(0o644)
        settings = {
            "listen_addresses": self.network.address[HUB] if self.network.can_cut else "",
            "hba_file": str(rules),
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "max_connections": "200",
            "shared_buffers": "64MB",
        }
        self.postgres = PostgresServer(settings)
        self._database = self.postgres.take()
        if self.before:  # it makes its own schema
            self.postgres.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", self._database)

    def _furnish(self) -> None:
        """The hosts' directories: small file systems for state and pool, the images shared by all."""
        for host in [HUB, CONTROL, *self.hosts]:
            (self.directory / host).mkdir()
            if host != self.volume_hosts[-1] or not self._mount_disk(f"state of {host}"):
                self._mount(self.directory / host, STATE_BYTES)
            clock = self.directory / f"clock-{host}"
            clock.mkdir()
            (clock / "sitecustomize.py").write_text(_AHEAD.format(seconds=CLOCKS.get(host, 0)))
        (self.directory / HUB / "images").mkdir(mode=0o700)
        for host in [CONTROL, *self.hosts]:
            (self.directory / host / "images").symlink_to(self.directory / HUB / "images")
        hanging = [f"disk of {self.volume_hosts[0]}", "backups"]
        for victim in ("backups", *(f"{it} of {host}" for host in self.volume_hosts for it in _DISKS)):
            self.disk(victim).mkdir()
            if victim not in hanging or not self._mount_disk(victim):
                self._mount(self.disk(victim), POOL_BYTES)

    def _mount(self, path: Path, size: int) -> None:
        _run(_MOUNT, "-t", "tmpfs", "-o", f"size={size}", "pumice-chaos", str(path))

    def _mount_disk(self, victim: str) -> bool:
        """A file system on a disk, which can hang. Whether that can be had here."""
        disk = self.directory / f"{victim.replace(' ', '-')}.disk"
        disk.touch()
        os.truncate(disk, POOL_BYTES)
        try:
            _run("mkfs.xfs", "-q", str(disk))
            _run(_MOUNT, "-o", "loop", str(disk), str(self.disk(victim)))
        except (OSError, subprocess.CalledProcessError):
            return False
        self.can_hang.append(victim)
        return True

    def disk(self, victim: str) -> Path:
        """The directory that a disk is mounted at: ``disk``, ``spare`` or ``state`` of a host; ``backups``."""
        kind, _, host = victim.partition(" of ")
        return self.directory / host / _DISKS.get(kind, "") if host else self.directory / victim

    def pools(self, *hosts: str) -> list[Path]:
        """The directories of all pools of hosts; without any, of all volume hosts."""
        return [self.directory / host / name for host in hosts or self.volume_hosts for name in POOLS.values()]

    def _shelves(self, *hosts: str) -> Iterator[Path]:
        return (pool / shelf for pool in self.pools(*hosts) for shelf in ("volumes", "snapshots"))

    def environment(self, host: str) -> dict[str, str]:
        """The settings of a host."""
        address = self.network.address
        backends = {
            name: {"pools": {pool: str(self.directory / host / pool)}, "max_over_subscription_ratio": 1000}
            for name, pool in POOLS.items()
        }
        return {
            **os.environ,
            "PUMICE_STATE_DIR": str(self.directory / host),
            "PUMICE_HOST": host,
            "PUMICE_DATABASE_URL": self._database_url(),
            "PUMICE_API__PORT": self.url.rpartition(":")[2],
            "PUMICE_QUOTAS": json.dumps(dict.fromkeys(LIMITED, -1)),
            "PUMICE_BACKENDS": json.dumps(backends if host in self.volume_hosts else {}),
            "PUMICE_BACKUP": json.dumps({"driver": "posix", "path": str(self.disk("backups"))}),
            "PUMICE_TGT__PORTAL": self._portals.get(host, "127.0.0.1:1"),
            "PUMICE_COMPUTE__DRIVER": "libvirt" if host in self.compute_hosts else "none",
            "PUMICE_COMPUTE__IP": address[host],
            "PUMICE_COMPUTE__DETACH_SECONDS": "15",
            "PUMICE_OPERATIONS__LEASE_SECONDS": str(LEASE_SECONDS),
            "PUMICE_REPAIR__GRACE_SECONDS": "10",
            "PUMICE_LOG_FORMAT": "json",
            "PYTHONPATH": str(self.directory / f"clock-{host}"),
        }

    def _database_url(self) -> str:
        if not self.network.can_cut:
            return self.postgres.url(self._database)
        return f"postgresql://postgres@{self.network.address[HUB]}/{self._database}"

    # --- the processes --------------------------------------------------------------------------

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.directory / f"{name}.log"

    def start(self, name: str, called: str = "") -> None:
        """Start a process that does not run; ``called``: as if its host had this name."""
        if self.is_running(name):
            return
        host, words = self._commands[name]
        argv = [*self.network.inside(host), sys.executable, "-m", "pumice", "--host", called or host, *words]
        environment = self.environment(host)
        self.old.discard(name)
        if self.before:
            environment = version_before.environment(environment)
            self.old.add(name)
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)

    def is_running(self, name: str) -> bool:
        """Whether a process lives."""
        return name in self.processes and self.processes[name].poll() is None

    def kill(self, name: str) -> None:
        """kill -9."""
        if self.is_running(name):
            self.processes[name].kill()
            self.processes[name].wait(PATIENCE)

    def pid(self, name: str) -> int | None:
        """The process id of a process, while it runs."""
        return self.processes[name].pid if self.is_running(name) else None

    def family(self, process: int | None) -> list[int]:
        """A process and its children."""
        if process is None:
            return []
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{process}/task/{process}/children").read_text()
            return [process, *map(int, children.split())]
        return [process]

    async def keep_up(self) -> None:
        """Start again whatever ended without being held down, until cancelled."""
        while True:
            for name in self.names:
                if name not in self.held and not self.is_running(name):
                    self.ended_by_themselves += 1
                    self.tell(f"{name} ended by itself ({self.processes[name].returncode}): started again")
                    self.start(name)
            await asyncio.sleep(1)

    # --- the daemons and the disks --------------------------------------------------------------

    def tgtd(self, host: str) -> TgtDaemon:
        """A volume host's target daemon."""
        return TgtDaemon(self.directory / host / "tgt", self._portals[host])

    def libvirtd(self, host: str) -> LibvirtDaemon:
        """A compute host's libvirtd."""
        compute = self.directory / host / "compute"
        return LibvirtDaemon(compute / "libvirt", compute / "cache")

    def daemon(self, host: str) -> TgtDaemon | LibvirtDaemon:
        """A host's tgtd or libvirtd."""
        return self.tgtd(host) if host in self.volume_hosts else self.libvirtd(host)

    def guests(self) -> dict[str, int]:
        """The QEMU processes of all hosts, by the server that each runs."""
        found = {}
        for host in self.compute_hosts:
            for file in (self.libvirtd(host).state_dir / "run/qemu").glob("pumice-*.pid"):
                with contextlib.suppress(OSError, ValueError):
                    pid = int(file.read_text())
                    if Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system"):
                        found[file.stem.removeprefix("pumice-")] = pid
        return found

    def bytes_of(self, thing_id: str) -> Path | None:
        """The file of a volume or snapshot, wherever it is."""
        return next((it / thing_id for it in self._shelves() if (it / thing_id).exists()), None)

    def file(self, pool: str, kind: str, thing_id: str) -> Path | None:
        """The file of a volume or snapshot in the pool ``HOST@BACKEND#POOL``, if it is there."""
        host, _, backend = pool.partition("#")[0].partition("@")
        file = self.directory / host / POOLS[backend] / f"{kind}s" / thing_id
        return file if file.exists() else None

    def files(self, host: str) -> set[str]:
        """The ids of all bytes in a host's pool."""
        shelves = self._shelves(host)
        return {file.name for shelf in shelves if shelf.exists() for file in shelf.iterdir()}

    # --- looking at it --------------------------------------------------------------------------

    async def rows(self, query: str, *values: object) -> list[Any]:
        """Rows of the database, waited for while it is away."""
        while True:
            try:
                connection = await asyncpg.connect(
                    host=str(self.postgres.directory),
                    user="postgres",
                    database=self._database,
                    timeout=10,
                )
                try:
                    return list(await connection.fetch(query, *values))
                finally:
                    connection.terminate()
            except (OSError, TimeoutError, *AWAY):
                await asyncio.sleep(0.5)

    async def under_way(self) -> list[str]:
        """The operations that have not ended."""
        rows = await self.rows(
            "SELECT id, kind, subject, state, place, steps->>position AS step, owner, error FROM operations "
            "WHERE state NOT IN ('done', 'failed')"
        )
        return [" ".join(f"{name}={value}" for name, value in row.items()) for row in rows]

    def audit(self, host: str) -> list[str]:
        """What ``pumice audit`` finds at a host."""
        argv = [*self.network.inside(host), sys.executable, "-m", "pumice", "audit"]
        done = subprocess.run(
            argv, env=self.environment(host), capture_output=True, text=True, timeout=120, check=False
        )
        said = done.stdout.splitlines() + done.stderr.splitlines()[-5:]
        return [f"{host}: {line}" for line in said] if done.returncode else []

    def repaired(self) -> list[str]:
        """What the loops of repair put right, with how often, as their processes tell."""
        lines = [line for name in self.names for line in self.log(name).read_text().splitlines()]
        told = [json.loads(line) for line in lines if '"violation.repaired"' in line]
        texts = [re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", it["violation"]) for it in told]
        return [f"{texts.count(text)} x {text}" for text in sorted(set(texts))]

    def traces(self) -> list[str]:
        """Bytes and guests that are there, whosever they are."""
        files = [f"bytes {file}" for shelf in self._shelves() for file in shelf.iterdir()]
        files += [f"object {file}" for file in self.disk("backups").rglob("*") if file.is_file()]
        images = [f"image {file}" for file in (self.directory / HUB / "images").iterdir()]
        return [*files, *images, *(f"guest of server {server}" for server in self.guests())]

    def put_aside(self, thing_id: str) -> list[Path]:
        """Bytes of an id that nobody knew, under the name that they were given then."""
        return [file for pool in self.pools() for file in pool.rglob(f"orphan-*{thing_id}*")]

    def back_up(self) -> None:
        """Keep the database as it is now, while nobody is at it."""
        self._without_processes(f"CREATE DATABASE kept TEMPLATE {self._database}")

    def restore(self) -> None:
        """The database is what was kept."""
        self._without_processes(
            f"DROP DATABASE {self._database}", f"ALTER DATABASE kept RENAME TO {self._database}"
        )

    def _without_processes(self, *statements: str) -> None:
        self.held.update(self.names)
        for name in self.names:
            self.kill(name)
        end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{}'"
        for statement in (end.format(self._database), *statements):
            self.postgres.sql(statement, "template1")
        for name in self.names:
            self.held.discard(name)
            self.start(name)

    def lose(self, host: str) -> None:
        """It never comes back: this world has one host less."""
        self.held.add(host)
        self.kill(host)
        if pid := self.daemon(host).pid():
            send(pid, signal.SIGKILL)
        self.lost.append(host)
        self.hosts.remove(host)
        self.volume_hosts.remove(host)

    def command(self, *words: str, host: str = HUB) -> subprocess.CompletedProcess[str]:
        """A command of Pumice's, at the hub."""
        argv = [*self.network.inside(host), sys.executable, "-m", "pumice", *words]
        environment = self.environment(host)
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)

    # --- the whole ------------------------------------------------------------------------------

    async def open(self) -> dict[str, str]:
        """Start everything and wait until it is up. The headers of a request by the administrator.

        Where that was the version before, the database and whatever starts from now on is this version's.
        """
        self._furnish()
        await asyncio.to_thread(self._start_postgres)
        self.start("api")
        headers = await self._log_in()
        for name in self.names:
            self.start(name)
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as http:
            for _ in range(600):
                listed = [await http.get(f"/{kind}/os-services") for kind in ("volume/v3", "compute/v2.1")]
                services = [service for answer in listed for service in answer.json()["services"]]
                if sum(it["state"] == "up" for it in services) >= len(self.hosts) + 2:
                    self.before = False
                    assert self.command("db", "upgrade").returncode == 0
                    self._keep_states()
                    return headers
                await asyncio.sleep(0.2)
        raise AssertionError(f"The installation does not come up; see {self.directory}.")

    async def _log_in(self) -> dict[str, str]:
        give_up = time.monotonic() + PATIENCE
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get("/healthcheck")).status_code == 200:
                        break
                assert time.monotonic() < give_up, self.log("api").read_text()[-2000:]
                await asyncio.sleep(0.1)
            password = yaml.safe_load((self.directory / HUB / "passwords.yaml").read_text())["admin"]
            user = {"name": "admin", "domain": {"id": "default"}, "password": password}
            scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
            body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
            answer = await http.post("/identity/v3/auth/tokens", json=body)
        self.project = answer.json()["token"]["project"]["id"]
        return {
            "X-Auth-Token": answer.headers["X-Subject-Token"],
            "OpenStack-API-Version": "volume 3.71, compute 2.89",
        }

    def kept_state(self, host: str) -> Path:
        """A volume host's state directory as it was in the beginning."""
        return self.directory / f"state-{host}"

    def _keep_states(self) -> None:
        for host in self.volume_hosts:
            _run("cp", "-ax", str(self.directory / host), str(self.kept_state(host)))

    def keep_logs(self, folder: Path) -> None:
        """Copy what everything has written to ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        for log in [*self.directory.glob("*.log"), *self._daemons_logs()]:
            shutil.copyfile(log, folder / "-".join(log.relative_to(self.directory).parts))
        shutil.copyfile(self.postgres.directory / "log", folder / "postgres.log")

    def _daemons_logs(self) -> Iterator[Path]:
        yield from self.directory.glob("*/tgt/*.log")
        yield from self.directory.glob("*/compute/libvirt/log/**/*.log")

    async def close(self) -> None:
        """End everything; nothing is left."""
        for victim in self.can_hang:
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("fsfreeze", "-u", str(self.disk(victim)))
        self.held.update(self.names)
        for paused in self.paused:
            send(paused, signal.SIGCONT)
        for process in self.processes.values():
            process.terminate()
        for name, process in self.processes.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 20)
            self.kill(name)
        for host in (*self.volume_hosts, *self.lost):
            await self.tgtd(host).stop(force=True)
        for host in self.compute_hosts:
            await self.libvirtd(host).stop(force=True)
        states = [self.directory / host for host in (HUB, CONTROL, *self.hosts, *self.lost)]
        for place in (*self.pools(*self.volume_hosts, *self.lost), self.disk("backups"), *states):
            with contextlib.suppress(subprocess.CalledProcessError):
                _run(_UMOUNT, "--lazy", str(place))
        if hasattr(self, "postgres"):
            self.postgres.close()
        self.network.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=30)


def send(process: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)

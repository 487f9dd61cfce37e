"""Volumes move between two hosts over iSCSI, each with a tgtd of its own; either is killed at any moment."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kill.points import Point, doing, failure, undoing
from tests.ports import free_port
from tests.pumice_installation import VOLUMES, Installation, state_directory

from postgres_server import PostgresServer
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.operations.operation import Step
from pumice.volumes.between_hosts import at_source
from pumice.volumes.migrate import MIGRATE

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

GIB = 1024**3
PIECES = {0: b"the first", 700 * 1024**2 - 3: b"over an end", GIB - 8: b"the last"}
NO_FAULT = ""


class TwoHosts(Installation):
    """An API, a scheduler, and a volume process on each of two hosts, which have nothing in common."""

    def __init__(self, state_dir: Path, database_url: str) -> None:
        super().__init__(state_dir, database_url, PUMICE_COMPUTE__DRIVER="none", PUMICE_LOG_LEVEL="debug")
        portals = {"here": self.environment["PUMICE_TGT__PORTAL"], "there": f"127.0.0.1:{free_port()}"}
        self.homes = {"here": state_dir, "there": state_dir.parent / "there"}
        self.daemons = {host: TgtDaemon(home / "tgt", portals[host]) for host, home in self.homes.items()}

    def serve(self, host: str, fault: str = NO_FAULT) -> None:
        """Start a host's process."""
        portal = self.daemons[host].portal
        home = {"PUMICE_STATE_DIR": str(self.homes[host]), "PUMICE_TGT__PORTAL": portal}
        self.launch("volume", host=host, **home, PUMICE_FAULT=fault)

    def start_all(self) -> None:
        self.launch("api")
        self.launch("scheduler")
        for host in self.homes:
            self.serve(host)
        self.log_in()
        self.wait(lambda: self.hosts_up() == set(self.homes), "its hosts do not come up")

    def hosts_up(self) -> set[str]:
        found = self.call("GET", "/volume/v3/os-services?binary=cinder-volume")["services"]
        return {it["host"].partition("@")[0] for it in found if it["state"] == "up"}

    def shown(self, volume: str) -> dict[str, Any]:
        return dict(self.call("GET", f"{VOLUMES}/{volume}")["volume"])

    def host_of(self, volume: str) -> str:
        return str(self.shown(volume)["os-vol-host-attr:host"]).partition("@")[0]

    def files(self, volume: str) -> dict[str, Path]:
        """Where the volume's bytes are, by host."""
        found = {host: [*(home / "volumes").glob(f"*/volumes/{volume}")] for host, home in self.homes.items()}
        return {host: paths[0] for host, paths in found.items() if paths}

    def a_volume(self) -> str:
        """One with bytes at its ends, and in the middle."""
        volume = str(self.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"])
        self.becomes(f"{VOLUMES}/{volume}", "volume", "available")
        [path] = self.files(volume).values()
        with path.open("r+b") as file:
            for offset, piece in PIECES.items():
                os.pwrite(file.fileno(), piece, offset)
        return volume

    def move(self, volume: str, to: str) -> None:
        body = {"os-migrate_volume": {"host": f"{to}@files"}}
        self.call("POST", f"{VOLUMES}/{volume}/action", body)

    def process(self, point: Point, source: str, target: str) -> str:
        """The process in which a point is passed."""
        if point.role == "scheduler":
            return "scheduler"
        step = MIGRATE.named(point.step)
        assert isinstance(step, Step)
        return source if step.at is at_source else target

    def is_whole(self, volume: str, host: str) -> None:
        """The volume has its bytes at this host, as sparse as they were, and nothing is anywhere else."""
        assert self.host_of(volume) == host
        found = self.files(volume)
        assert list(found) == [host], found
        assert found[host].stat().st_size == GIB and found[host].stat().st_blocks * 512 < 16 * 1024**2
        with found[host].open("rb") as file:
            for offset, piece in PIECES.items():
                assert os.pread(file.fileno(), len(piece), offset) == piece
        for daemon in self.daemons.values():
            assert asyncio.run(_targets(daemon)) == []
        assert self.rows("SELECT * FROM move_accounts") == []
        for name, home in self.homes.items():
            words = "--host", name, "audit"
            audit = self.command(
                *words, PUMICE_STATE_DIR=str(home), PUMICE_TGT__PORTAL=self.daemons[name].portal
            )
            assert audit.returncode == 0, audit.stdout + audit.stderr

    def end_daemons(self) -> None:
        async def end() -> None:
            for daemon in self.daemons.values():
                await daemon.stop(force=True)

        asyncio.run(end())


async def _targets(daemon: TgtDaemon) -> list[Any]:
    return await asyncio.to_thread(lambda: list(daemon.management.targets()))


@pytest.fixture
def pumice(postgres: PostgresServer) -> Iterator[TwoHosts]:
    name = postgres.take()
    with state_directory() as state:
        found = TwoHosts(state, postgres.url(name))
        try:
            found.start_all()
            yield found
        finally:
            found.close()
            found.end_daemons()
    postgres.give_back(name)


def other(host: str) -> str:
    return "there" if host == "here" else "here"


def test_a_volume_goes_to_another_host_and_back(pumice: TwoHosts) -> None:
    volume = pumice.a_volume()
    for _ in range(2):
        to = other(pumice.host_of(volume))
        pumice.move(volume, to)
        pumice.settle()
        shown = pumice.shown(volume)
        assert (shown["status"], shown["migration_status"]) == ("available", "success")
        pumice.is_whole(volume, to)


@pytest.mark.parametrize("well", [True, False], ids=["there", "and back"])
def test_killed_at_every_point_it_is_whole_in_one_place(pumice: TwoHosts, well: bool) -> None:
    volume = pumice.a_volume()
    source, target = pumice.host_of(volume), other(pumice.host_of(volume))
    fails = None if well else failure(MIGRATE)
    faults: dict[str, list[str]] = {}
    for point in doing(MIGRATE) if well else undoing(MIGRATE):
        faults.setdefault(pumice.process(point, source, target), []).append(point.fault)
    always = {pumice.process(fails, source, target): f"{fails.fault}=fail"} if fails else {}

    def begin(process: str) -> None:
        wrong = ",".join([*filter(None, [always.get(process)]), *faults.get(process, [])[:1]])
        if process == "scheduler":
            pumice.launch("scheduler", PUMICE_FAULT=wrong)
        else:
            pumice.serve(process, wrong)

    def called(process: str) -> str:
        return {"scheduler": "scheduler", "here": "volume"}.get(process, f"volume {process}")

    for process in {*faults, *always}:
        pumice.stop(called(process))
        begin(process)
    pumice.wait(lambda: pumice.hosts_up() == set(pumice.homes), "its hosts do not come up")
    pumice.move(volume, target)
    deaths = sum(map(len, faults.values()))

    def died() -> list[str]:
        return [it for it in faults if faults[it] and pumice.processes[called(it)].poll() is not None]

    while any(faults.values()):
        pumice.wait(lambda: bool(died()), f"nobody dies at {faults}: {pumice.under_way()}", 120)
        for process in died():
            pumice.wait_for_death(called(process))
            faults[process].pop(0)
            begin(process)
    pumice.settle()
    assert deaths == (16 if well else 6)
    assert pumice.shown(volume)["migration_status"] == ("success" if well else "error")
    pumice.is_whole(volume, target if well else source)

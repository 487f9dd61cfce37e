"""kill -9 of the process at every step of the four stories, on real parts; it is started again, and goes on.

For each step, the process is killed just before it and just after it (after a step outside: before anything
of it was written down). After the restart nothing is stuck and nothing leaked. ``pytest -s`` shows the table.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pumice_process import PumiceProcess, installation
from rich.console import Console
from rich.table import Table
from stories import SERVERS, VOLUMES, Stories

from pumice.app.guest_image import build_guest_image
from pumice.app.tour.run import cache_dir
from pumice.attachments.connect import CONNECT
from pumice.attachments.disconnect import DISCONNECT
from pumice.operations.operation import Step, Verb
from pumice.servers.attach_volume import ATTACH_VOLUME
from pumice.servers.boot import BOOT
from pumice.servers.delete import DELETE_SERVER
from pumice.servers.detach_volume import DETACH_VOLUME
from pumice.volumes.create import CREATE
from pumice.volumes.delete import DELETE

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("kill"), pytest.mark.timeout(900)]


def points(*verbs: Verb[Any]) -> list[tuple[str, str]]:
    """Every point of these verbs: the fault's name, and how to say it."""
    return [
        (f"{verb.kind}/do/{step.name}/{when}", f"{verb.kind}: {when} {step.name}")
        for verb in verbs
        for step in verb.steps
        if isinstance(step, Step)
        for when in ("before", "after")
    ]


class Report:
    """The table."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, name: str, ended: str, stuck: int, leaked: int) -> None:
        self.rows.append((name, ended, str(stuck), str(leaked)))

    def show(self) -> None:
        table = Table("killed", "ended", "stuck", "leaked", title="kill -9 at every step")
        for row in self.rows:
            table.add_row(*row)
        Console(width=110).print(table)


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    report = Report()
    yield report
    report.show()


@pytest.fixture(scope="module")
def pumice() -> Iterator[PumiceProcess]:
    with installation() as pumice:
        yield pumice


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    destination = tmp_path_factory.mktemp("guest") / "guest.qcow2"
    return asyncio.run(build_guest_image(destination, cache_dir()))


@pytest.fixture(scope="module")
def stories(pumice: PumiceProcess, guest: Path) -> Stories:
    pumice.start()
    stories = Stories(pumice)
    stories.image = stories.upload(guest.read_bytes(), "qcow2")
    return stories


@pytest.fixture(scope="module")
def running_server(stories: Stories) -> str:
    """A server whose guest has booted, so that it lets go of disks."""
    root = stories.create(imageRef=stories.image)
    stories.pumice.settle()
    server = stories.boot(root)
    stories.pumice.settle()
    stories.wait_for_guest(server)
    return server


def restart_with(pumice: PumiceProcess, fault: str) -> None:
    pumice.stop("serve")
    pumice.start(fault)


def recover(pumice: PumiceProcess, report: Report, name: str, ended: str) -> None:
    """It died; start it again, let it go on, and look."""
    pumice.wait_for_death("serve")
    pumice.start()
    pumice.settle()
    breaches = pumice.breaches()
    report.add(name, ended, len(pumice.under_way()), len(breaches))
    assert not breaches, breaches


@pytest.mark.parametrize(("fault", "name"), points(CREATE))
def test_create_from_an_image(stories: Stories, report: Report, fault: str, name: str) -> None:
    restart_with(stories.pumice, fault)
    volume = stories.create(imageRef=stories.image)
    recover(stories.pumice, report, name, "available")
    stories.volume_is(volume, "available")
    stories.delete(f"{VOLUMES}/{volume}")


@pytest.mark.parametrize(("fault", "name"), points(DELETE))
def test_delete_a_volume(stories: Stories, report: Report, fault: str, name: str) -> None:
    volume = stories.create()
    stories.pumice.settle()
    restart_with(stories.pumice, fault)
    stories.delete(f"{VOLUMES}/{volume}")
    recover(stories.pumice, report, name, "gone")
    stories.is_gone(f"{VOLUMES}/{volume}")


@pytest.mark.parametrize(("fault", "name"), points(BOOT, CONNECT))
def test_boot_from_a_volume(stories: Stories, report: Report, fault: str, name: str) -> None:
    volume = stories.create(imageRef=stories.image)
    stories.pumice.settle()
    restart_with(stories.pumice, fault)
    server = stories.boot(volume)
    recover(stories.pumice, report, name, "ACTIVE")
    stories.server_is(server, "ACTIVE")
    stories.volume_is(volume, "in-use")
    stories.delete(f"{SERVERS}/{server}")
    stories.pumice.settle()
    stories.volume_is(volume, "available")


@pytest.mark.parametrize(("fault", "name"), points(DELETE_SERVER, DISCONNECT))
def test_delete_a_server(stories: Stories, report: Report, fault: str, name: str) -> None:
    volume = stories.create(imageRef=stories.image)
    stories.pumice.settle()
    server = stories.boot(volume)
    stories.pumice.settle()
    restart_with(stories.pumice, fault)
    stories.delete(f"{SERVERS}/{server}")
    recover(stories.pumice, report, name, "gone")
    stories.is_gone(f"{SERVERS}/{server}")
    stories.volume_is(volume, "available")


@pytest.mark.parametrize(("fault", "name"), points(ATTACH_VOLUME))
def test_attach(stories: Stories, running_server: str, report: Report, fault: str, name: str) -> None:
    volume = stories.create()
    stories.pumice.settle()
    restart_with(stories.pumice, fault)
    stories.attach(running_server, volume)
    recover(stories.pumice, report, name, "in-use")
    stories.volume_is(volume, "in-use")
    stories.detach(running_server, volume)
    stories.pumice.settle()
    stories.volume_is(volume, "available")


@pytest.mark.parametrize(("fault", "name"), points(DETACH_VOLUME))
def test_detach(stories: Stories, running_server: str, report: Report, fault: str, name: str) -> None:
    volume = stories.create()
    stories.pumice.settle()
    stories.attach(running_server, volume)
    stories.pumice.settle()
    restart_with(stories.pumice, fault)
    stories.detach(running_server, volume)
    recover(stories.pumice, report, name, "available")
    stories.volume_is(volume, "available")

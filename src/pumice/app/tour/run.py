"""Take the tour: start Pumice if need be, tell the stories, clear up, and say whether all went as told."""

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path

import structlog
import uvloop

from pumice.app import checks, garbage, logs, node, tls
from pumice.app.console_link import link
from pumice.app.driver_setup import stop_daemons
from pumice.app.guest_image import build_guest_image
from pumice.app.node import Node
from pumice.app.passwords import clouds_file
from pumice.app.serve import Serving, free_port, listen
from pumice.app.settings import Settings
from pumice.app.tour.client import Client
from pumice.app.tour.screen import Screen
from pumice.app.tour.stories import GUEST, Tour
from pumice.model.errors import PumiceError

logger = structlog.get_logger(__name__)


def run(settings: Settings, *, stay: bool) -> int:
    """The tour in a Pumice of its own, which is gone afterwards; with ``stay`` in the one that goes on serving.

    Returns the exit code: 0 when everything went as told.
    """
    screen = Screen()
    if stay:
        return _run(settings, screen, stay=True)
    directory = Path(tempfile.mkdtemp(prefix="pumice-"))
    try:
        return _run(_of_its_own(settings, directory), screen, stay=False)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _of_its_own(settings: Settings, directory: Path) -> Settings:
    """Settings for a short life beside whatever else runs on this machine."""
    api = settings.api.model_copy(
        update={"port": 0, "host": "127.0.0.1", "public_url": None, "certificate": None, "key": None}
    )
    tgt = settings.tgt.model_copy(update={"portal": f"127.0.0.1:{free_port()}"})
    changes = {"state_dir": directory, "database_url": None, "api": api, "tgt": tgt}
    return settings.model_copy(update=changes)


def _run(settings: Settings, screen: Screen, *, stay: bool) -> int:
    logs.set_up(
        settings.model_copy(update={"log_level": "error"}) if settings.log_level == "info" else settings
    )
    checks.refuse(settings)
    listen(settings).close()  # what is taken is said before an image is built
    lock = node.only_one(settings)
    try:
        return uvloop.run(_tour(settings, screen, stay=stay))
    finally:
        lock.close()


async def _tour(settings: Settings, screen: Screen, *, stay: bool) -> int:
    screen.console.print("[bold]Pumice[/]: block storage for virtual machines that never gets stuck")
    with screen.step("build a small bootable image from Debian's packages"):
        image = await build_guest_image(settings.state_dir / "tour" / "guest.qcow2", cache_dir())
    async with Serving(settings) as serving:
        garbage.imports_end()
        telling = asyncio.create_task(_tell(serving.node, serving.url, image, screen, stay=stay))
        stopping = asyncio.create_task(serving.until_told_to_stop())
        try:
            await asyncio.wait({telling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
            code = await telling
            if stay and code == 0:
                dashboard(settings, serving.url, screen, await link(serving.node.db, serving.url))
                await stopping
                screen.console.print("\nStopping: the steps in hand are finished…")
        finally:
            stopping.cancel()
            if not stay:
                await stop_daemons(serving.node.daemons, force=True)
    return code


async def _tell(node: Node, url: str, image: Path, screen: Screen, *, stay: bool) -> int:
    if "admin" not in node.passwords:
        screen.console.print(
            "The password of 'admin' was changed: 'pumice passwd admin' sets one that the tour knows."
        )
        return 1
    cloud = Client(url, node.passwords["admin"], tls.authority(node.settings))
    tour = Tour(node, cloud, screen, image, keeps_image=stay)
    try:
        await cloud.log_in()
        await tour.make_a_bootable_volume()
        await tour.boot_a_server()
        await tour.attach_a_volume()
        await tour.detach_and_delete()
    except (PumiceError, OSError, asyncio.CancelledError) as error:
        why = "Interrupted." if isinstance(error, asyncio.CancelledError) else error
        screen.console.print(f"\n[bold red]The tour ended early.[/] {why}")
        if isinstance(error, OSError):
            logger.exception("tour.failed")
        await _clear_up(tour)
        screen.console.print(
            "'pumice doctor' says what this machine lacks, 'pumice operations list' what happened."
        )
        return 1
    finally:
        await cloud.close()
    return 0


async def _clear_up(tour: Tour) -> None:
    try:
        await tour.clear()
    except (PumiceError, OSError) as error:
        tour.screen.console.print(f"Clearing up failed too: {error}", markup=False)


def dashboard(settings: Settings, url: str, screen: Screen, console: str) -> None:
    """Show what runs now, and what to try in another terminal."""
    commands = Path(sys.executable).parent
    screen.console.rule("[bold]Pumice is serving[/]")
    screen.table(
        [
            ("API", f"[bold]{url}[/]"),
            ("console", f"[bold]{console}[/]"),
            ("", "logs a browser in, once, within ten minutes; 'pumice console-link' makes another"),
            ("state", str(settings.state_dir.absolute())),
            ("log in", f"[bold]export OS_CLIENT_CONFIG_FILE={clouds_file(settings)}[/]"),
            ("", "[bold]export OS_CLOUD=pumice[/]    # or pumice-demo: an ordinary member of the project demo"),
            ("try", f"{commands}/openstack volume create --size 1 my-volume"),
            ("", f"{commands}/openstack volume list"),
            (
                "",
                f"{commands}/openstack server create --image {GUEST} --flavor m1.tiny --no-network my-server",
            ),
            ("", f"{commands}/openstack console log show my-server    # servers have no network yet"),
            ("look inside", f"{commands}/pumice --state-dir {settings.state_dir.absolute()} operations list"),
            ("stop", "Ctrl-C"),
        ]
    )


def cache_dir() -> Path:
    """The directory that keeps downloaded packages from one tour to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or (Path.home() / ".cache")
    return Path(base) / "pumice"

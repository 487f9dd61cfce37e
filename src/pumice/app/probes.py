"""Looks at the parts of a machine that Pumice can use, one function for each.

Nothing is started for good, changed or left behind, and a Pumice that is running is not disturbed.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pumice.app import checks, driver_setup, marks, serving_api
from pumice.app.guest_image import missing_packages
from pumice.app.roles import Role
from pumice.app.settings import Settings, config_file
from pumice.host import broker
from pumice.host.command import CommandFailed, run
from pumice.host.parts import cannot_listen, existing, may_write, ok, program
from pumice.host.reserve import Reserve
from pumice.hypervisor import accelerator
from pumice.hypervisor.accelerator import Accelerator
from pumice.hypervisor.libvirt_connection import INSTALL, load
from pumice.loops.notifications import NAME as NOTIFICATIONS
from pumice.model.errors import Misconfigured, PumiceError, in_full
from pumice.model.finding import Finding, Verdict
from pumice.model.units import MIB
from pumice.store import hanging, positions, schema
from pumice.store.database import shown
from pumice.store.open import open_database

LATE_SECONDS = 120.0
"""Notifications that have waited for longer are late."""
NO_SERVERS = "volumes, snapshots, images; no servers here"
NO_IMAGES = "blank volumes, clones, snapshots; no volumes from images"


# --- what the volume API needs ------------------------------------------------------------------


def python() -> Finding:
    """The interpreter."""
    return ok("python", f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}")


def settings_for(settings: Settings, roles: frozenset[Role]) -> Finding:
    """Whether the settings let a process with these roles start."""
    reasons = checks.wrong(settings, roles)
    if reasons:
        return Finding("settings", Verdict.MISSING, " ".join(reasons), needed=True)
    return ok("settings", str(config_file() or "from the environment and by default"))


def database(settings: Settings) -> Finding:
    """The database: there and of a version we know, or a place where it can be made."""
    url = settings.database()
    if not url.startswith("sqlite:"):
        return _schema(url, shown(url))
    path = Path(url.partition("///")[2])
    place = path if path.exists() else path.parent
    if not may_write(place):
        cure = "run as root (sudo), or choose another --state-dir"
        return Finding("database", Verdict.MISSING, f"{place} cannot be written", "", cure, needed=True)
    if not path.exists():
        return ok("database", f"{path}, made at the first start")
    return _schema(url, str(path))


def state_directory(settings: Settings) -> Finding:
    """Whose the state directory is, as far as a database is there that knows."""
    part, url = "state directory", settings.database()
    with suppress(PumiceError):  # the database is looked at by itself
        if schema.is_current(url) and (reason := asyncio.run(_anothers(url, settings))):
            return Finding(part, Verdict.MISSING, reason, needed=True)
    return ok(part, f"{settings.state_dir}, of host '{settings.host}'")


async def _anothers(url: str, settings: Settings) -> str:
    """Why it is another's; empty when it is not."""
    db = open_database(url, "doctor")
    try:
        await marks.refuse_anothers(db, settings)
    except Misconfigured as error:
        return in_full(error)
    finally:
        await db.close()
    return ""


def whose_pools(settings: Settings, name: str) -> Finding:
    """Whether the pools of a backend are its own, as far as a database is there that knows."""
    part, url = f"marks of {name}", settings.database()
    wrong: list[str] | None = None
    with suppress(PumiceError), ThreadPoolExecutor(1) as thread:  # which has no event loop yet
        if thread.submit(schema.is_current, url).result():
            wrong = thread.submit(asyncio.run, _wrong_pools(url, settings, name)).result()
    if wrong:
        return Finding(part, Verdict.MISSING, " ".join(wrong), "other backends")
    return ok(part, "not compared: no database tells yet" if wrong is None else "its pools are its own")


async def _wrong_pools(url: str, settings: Settings, name: str) -> list[str]:
    db = open_database(url, "doctor")
    try:
        return await marks.wrong_pools(db, settings.place(name), driver_setup.backend(settings, name))
    finally:
        await db.close()


def hanging_calls(settings: Settings) -> Finding:
    """The calls that hang outside, as the processes that run have told."""
    part, url = "calls that hang", settings.database()
    found: Sequence[hanging.Row] = []
    with suppress(PumiceError):  # the database is looked at by itself
        if schema.is_current(url):
            found = asyncio.run(_hanging(url))
    if not found:
        return ok(part, "none")
    told = [f"'{it['call']}' at {it['place']} since {it['since']:%Y-%m-%d %H:%M:%S} UTC" for it in found]
    cure = "see to that disk or daemon; if it stays away, restart the Pumice of that host"
    return Finding(part, Verdict.DEGRADED, "; ".join(told), "every other place", cure)


async def _hanging(url: str) -> Sequence[hanging.Row]:
    db = open_database(url, "doctor")
    try:
        return await db.read(hanging.every)
    finally:
        await db.close()


def _schema(url: str, place: str) -> Finding:
    try:
        found = schema.recorded(url)
    except PumiceError as error:
        return Finding("database", Verdict.MISSING, f"{place}: {error.in_full}", needed=True)
    if schema.is_newer(found):
        reason = f"{place}: a newer version has upgraded it to schema {found}"
        return Finding("database", Verdict.MISSING, reason, "", "start that version", needed=True)
    return ok("database", f"{place}, {'up to date' if found == schema.HEAD else 'upgraded at the next start'}")


def api_port(settings: Settings) -> Finding:
    """The API's port: free, or already where a Pumice of this state directory serves."""
    host, port = settings.api.host, settings.api.port
    if reason := cannot_listen(host, port):
        if holder := serving_api.process(settings.state_dir):
            return ok("api port", f"{host}:{port}, Pumice serves there (process {holder})")
        cure = "choose another: pumice serve --port PORT, or PUMICE_API__PORT"
        return Finding("api port", Verdict.MISSING, f"{host}:{port}: {reason}", "", cure, needed=True)
    return ok("api port", f"{host}:{port} is free")


def state_disk(settings: Settings) -> Finding:
    """Free space where the database and the images are kept."""
    place = existing(settings.state_dir.absolute())
    reserve = Reserve(place, settings.reserve_mib * MIB)
    usage = shutil.disk_usage(place)
    found = f"{place}, {usage.free / MIB:.0f} of {usage.total / MIB:.0f} MiB free"
    if usage.free < 2 * reserve.size:
        return Finding(
            "state disk", Verdict.DEGRADED, found, "reads and deletes; nothing new", "free some space"
        )
    return ok("state disk", found)


async def qemu_img() -> Finding:
    """qemu-img, which inspects and converts images."""
    return await _version("qemu-img", "qemu-img", "qemu-utils", NO_IMAGES)


# --- servers ------------------------------------------------------------------------------------


async def qemu() -> Finding:
    """QEMU itself."""
    return await _version("qemu", accelerator.QEMU, "qemu-system-x86", NO_SERVERS)


async def qemu_iscsi() -> Finding:
    """QEMU's own iSCSI initiator, which Debian packs apart."""
    part, cure = "qemu iscsi", "apt-get install qemu-block-extra"
    try:
        await run("qemu-img", "info", 'json:{"driver":"iscsi"}', timeout=10)
    except CommandFailed as failed:  # it always fails: either for want of a target, or of the driver
        if "Unknown driver" not in failed.stderr:
            return ok(part, "QEMU reaches iSCSI targets by itself")
    except PumiceError as error:
        return Finding(part, Verdict.MISSING, in_full(error), NO_SERVERS, cure)
    return Finding(part, Verdict.MISSING, "not installed", "servers on local disks", cure)


async def accelerated(settings: Settings) -> Finding:
    """Whether guests run on the processor or are emulated."""
    cache = settings.state_dir.absolute() / "compute/cache/accelerator.json"
    with tempfile.TemporaryDirectory() as folder:
        try:
            chosen = await accelerator.choose(
                cache if os.access(cache, os.R_OK) else Path(folder) / "accelerator.json"
            )
        except Misconfigured as error:
            cure = "apt-get install qemu-system-x86"
            return Finding("accelerator", Verdict.MISSING, in_full(error), NO_SERVERS, cure)
    if chosen is Accelerator.KVM:
        return ok("accelerator", "KVM")
    why = "a trial under KVM did not end in time" if Path("/dev/kvm").exists() else "there is no /dev/kvm"
    cure = "a processor with VT-x or AMD-V, or nested virtualization"
    return Finding("accelerator", Verdict.DEGRADED, f"TCG: {why}", "everything; guests are slow", cure)


def libvirt_binding() -> Finding:
    """Python's libvirt module."""
    try:
        number = load().getVersion()
    except Misconfigured:
        return Finding("libvirt for python", Verdict.MISSING, "not installed", NO_SERVERS, INSTALL)
    return ok("libvirt for python", f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}")


async def private_libvirtd() -> Finding:
    """What a libvirtd of our own takes: the program, root, and the right to a mount namespace."""
    part = "private libvirtd"
    if not program("libvirtd"):
        cure = "apt-get install libvirt-daemon-system"
        return Finding(part, Verdict.MISSING, "libvirtd is not installed", NO_SERVERS, cure)
    system = "or use the system's: PUMICE_COMPUTE__LIBVIRT_URI=qemu:///system"
    if os.geteuid() != 0:
        return Finding(part, Verdict.MISSING, "needs root", NO_SERVERS, f"run with sudo, {system}")
    try:
        await run("unshare", "--mount", "true", timeout=10)
    except PumiceError as error:
        return Finding(part, Verdict.MISSING, f"no mount namespace: {error.in_full}", NO_SERVERS, system)
    return ok(part, "can be started")


def tour_guest() -> Finding:
    """The tool that builds the little guest of the tour."""
    if missing := missing_packages():
        cure = f"apt-get install {' '.join(missing)}"
        return Finding("guest of the tour", Verdict.MISSING, "tools are missing", "all but the tour", cure)
    return ok("guest of the tour", "can be built")


# --- how it is seen -----------------------------------------------------------------------------


async def _version(part: str, command: str, package: str, without: str) -> Finding:
    try:
        said = await run(command, "--version", timeout=10)
    except Misconfigured:
        return Finding(part, Verdict.MISSING, "not installed", without, f"apt-get install {package}")
    except PumiceError as error:
        return Finding(part, Verdict.MISSING, in_full(error), without, f"apt-get install --reinstall {package}")
    return ok(part, said.partition("\n")[0])


# --- what tells others ----------------------------------------------------------------------------


def notifications(settings: Settings) -> Finding:
    """What speaks to the broker of notifications, and how far behind the log it is."""
    part, without = "notifications", "everything; only the broker is not told"
    url = settings.notifications.transport_url or ""
    try:
        broker.check(url)
    except Misconfigured as error:
        return Finding(part, Verdict.MISSING, str(error), without, broker.INSTALL)
    seconds = asyncio.run(_behind(settings)) if schema.is_current(settings.database()) else None
    if seconds is not None and seconds > LATE_SECONDS:
        cure = "look at the broker, and for 'notifications.late' in the scheduler's log"
        return Finding(part, Verdict.DEGRADED, f"late by {seconds:.0f} s", without, cure)
    return ok(part, "the library is here, and nothing is late")


async def _behind(settings: Settings) -> float | None:
    db = open_database(settings.database(), "doctor")
    try:
        return await db.read(positions.seconds_behind, NOTIFICATIONS)
    finally:
        await db.close()

"""Looks at the parts of a machine that Pumice can use, one function for each.

Nothing is started for good, changed or left behind, and a Pumice that is running is not disturbed.
"""

import asyncio
import fcntl
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from pumice.app import checks
from pumice.app.guest_image import missing_packages
from pumice.app.plain_words import in_plain_words
from pumice.app.roles import Role
from pumice.app.settings import Settings, config_file
from pumice.backends import sparse
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.host import apart
from pumice.host.command import CommandFailed, run
from pumice.host.reserve import Reserve
from pumice.hypervisor import accelerator
from pumice.hypervisor.accelerator import Accelerator
from pumice.hypervisor.libvirt_connection import load
from pumice.model.errors import Misconfigured, PumiceError
from pumice.model.units import GIB, MIB
from pumice.store import hanging, schema
from pumice.store.database import shown
from pumice.store.open import open_database

LITTLE_SPACE = 5 * GIB

NO_SERVERS = "volumes, snapshots, images; no servers here"
NO_EXPORTS = "volumes, snapshots, images; no attachments"
NO_IMAGES = "blank volumes, clones, snapshots; no volumes from images"

_SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


class Verdict(StrEnum):
    """How a part is."""

    OK = "ok"
    DEGRADED = "degraded"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part."""

    part: str
    verdict: Verdict
    found: str
    without: str = ""
    """What works all the same."""
    cure: str = ""
    """The exact command that installs it, or what else to do."""
    needed: bool = False
    """The volume API cannot serve without it."""

    @property
    def fatal(self) -> bool:
        """Whether this keeps the volume API from serving."""
        return self.needed and self.verdict is Verdict.MISSING


def _ok(part: str, found: str) -> Finding:
    return Finding(part, Verdict.OK, found)


# --- what the volume API needs ------------------------------------------------------------------


def python() -> Finding:
    """The interpreter."""
    return _ok("python", f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}")


def settings_for(settings: Settings, roles: frozenset[Role]) -> Finding:
    """Whether the settings let a process with these roles start."""
    reasons = checks.wrong(settings, roles)
    if reasons:
        return Finding("settings", Verdict.MISSING, " ".join(reasons), needed=True)
    return _ok("settings", str(config_file() or "from the environment and by default"))


def database(settings: Settings) -> Finding:
    """The database: there and of a version we know, or a place where it can be made."""
    url = settings.database()
    if not url.startswith("sqlite:"):
        return _database_server(url)
    path = Path(url.partition("///")[2])
    place = path if path.exists() else path.parent
    if not _may_write(place):
        cure = "run as root (sudo), or choose another --state-dir"
        return Finding("database", Verdict.MISSING, f"{place} cannot be written", "", cure, needed=True)
    if not path.exists():
        return _ok("database", f"{path}, made at the first start")
    try:
        current = schema.is_current(url)
    except PumiceError as error:
        return Finding("database", Verdict.MISSING, str(error), needed=True)
    return _ok("database", f"{path}, {'up to date' if current else 'upgraded at the next start'}")


def hanging_calls(settings: Settings) -> Finding:
    """What hangs outside, as the processes that run have told."""
    part, url = "calls that hang", settings.database()
    found: Sequence[hanging.Row] = []
    with suppress(PumiceError):  # the database is looked at by itself
        if schema.is_current(url):
            found = asyncio.run(_hanging(url))
    if not found:
        return _ok(part, "none")
    told = [f"'{it['call']}' at {it['place']} since {it['since']:%Y-%m-%d %H:%M:%S} UTC" for it in found]
    cure = "see to that disk or daemon; if it stays away, restart the Pumice of that host"
    return Finding(part, Verdict.DEGRADED, "; ".join(told), "every other place", cure)


_HANGS = "see to that disk or mount"
POOL_SECONDS = 5.0
"""How long a pool may take to answer."""


async def _hanging(url: str) -> Sequence[hanging.Row]:
    db = open_database(url, "doctor")
    try:
        return await db.read(hanging.every)
    finally:
        await db.close()


def _database_server(url: str) -> Finding:
    try:
        current = schema.is_current(url)
    except PumiceError as error:
        return Finding("database", Verdict.MISSING, f"{shown(url)}: {error}", needed=True)
    return _ok("database", f"{shown(url)}, {'up to date' if current else 'upgraded at the next start'}")


def api_port(settings: Settings) -> Finding:
    """The API's port: free, or already a Pumice's."""
    host, port = settings.api.host, settings.api.port
    if reason := _cannot_listen(host, port):
        if holder := _running(settings):
            return _ok("api port", f"{host}:{port}, Pumice serves there (process {holder})")
        cure = "choose another: pumice serve --port PORT, or PUMICE_API__PORT"
        return Finding("api port", Verdict.MISSING, f"{host}:{port}: {reason}", "", cure, needed=True)
    return _ok("api port", f"{host}:{port} is free")


def state_disk(settings: Settings) -> Finding:
    """Free space where the database and the images are kept."""
    place = _existing(settings.state_dir.absolute())
    reserve = Reserve(place, settings.reserve_mib * MIB)
    usage = shutil.disk_usage(place)
    found = f"{place}, {usage.free / MIB:.0f} of {usage.total / MIB:.0f} MiB free"
    if usage.free < 2 * reserve.size:
        return Finding(
            "state disk", Verdict.DEGRADED, found, "reads and deletes; nothing new", "free some space"
        )
    return _ok("state disk", found)


def pool_directories(settings: Settings) -> dict[str, Path]:
    """Where the ``files`` backends keep volumes, by ``backend#pool``."""
    found: dict[str, Path] = {}
    for name, it in settings.backends.items():
        if it.driver == "files":
            pools = it.pools or {"pool": settings.state_dir.absolute() / "volumes" / name}
            found |= {f"{name}#{pool}": path for pool, path in pools.items()}
    return found


def pools(settings: Settings) -> list[Finding]:
    """Every pool that is a directory, without waiting for one that hangs."""
    asked = [
        (name, path, look) for name, path in pool_directories(settings).items() for look in (space, reflink)
    ]
    answers = apart.each([partial(_pool, *each) for each in asked], POOL_SECONDS)
    return [
        answer or Finding(f"pool {name}", Verdict.MISSING, f"{path} hangs", "other pools", _HANGS)
        for (name, path, _), answer in zip(asked, answers, strict=True)
    ]


def _pool(name: str, path: Path, look: Callable[[str, Path], Finding]) -> Finding:
    try:
        return look(name, path)
    except OSError as error:
        return Finding(f"pool {name}", Verdict.MISSING, in_plain_words(error))


def space(pool: str, directory: Path) -> Finding:
    """Free space where a pool's volumes are kept."""
    part = f"pool {pool}"
    if not _may_write(directory):
        cure = f"choose another directory, or: install -d {directory}"
        return Finding(part, Verdict.MISSING, f"{directory} cannot be written", "other pools", cure)
    free = shutil.disk_usage(_existing(directory)).free
    found = f"{directory}, {free / GIB:.0f} GiB free"
    if free < LITTLE_SPACE:
        return Finding(part, Verdict.DEGRADED, found, "what fits", "free some space")
    return _ok(part, found)


def reflink(pool: str, directory: Path) -> Finding:
    """Whether the pool's file system shares blocks between files, so that clones take no time."""
    part = f"reflink in {pool}"
    place = _existing(directory)
    if not _may_write(place):
        return Finding(part, Verdict.MISSING, f"{place} cannot be written")
    with tempfile.TemporaryDirectory(prefix=".pumice-doctor-", dir=place) as folder:
        source, clone = Path(folder) / "source", Path(folder) / "clone"
        source.write_bytes(b"\1" * 65536)
        clone.touch()
        if sparse.share(source, clone):
            return _ok(part, "clones and snapshots take milliseconds")
    return Finding(
        part,
        Verdict.DEGRADED,
        "the file system cannot share blocks",
        "everything; clones and snapshots are copied",
        f"mount XFS or Btrfs at {directory}",
    )


async def qemu_img() -> Finding:
    """qemu-img, which inspects and converts images."""
    return await _version("qemu-img", "qemu-img", "qemu-utils", NO_IMAGES)


# --- exports ------------------------------------------------------------------------------------


def tgtd() -> Finding:
    """The iSCSI target daemon."""
    if path := shutil.which("tgtd", path=_SBIN):
        return _ok("tgtd", path)
    return Finding("tgtd", Verdict.MISSING, "not installed", NO_EXPORTS, "apt-get install tgt")


def portal(settings: Settings) -> Finding:
    """The address that our tgtd listens on: free, or already ours."""
    address = settings.tgt.portal
    host, _, port = address.rpartition(":")
    reason = _cannot_listen(host.strip("[]"), int(port))
    if reason is None:
        return _ok("iscsi portal", f"{address} is free")
    if pid := TgtDaemon(settings.state_dir.absolute() / "tgt", address).pid():
        return _ok("iscsi portal", f"{address}, our tgtd listens there (process {pid})")
    cure = "systemctl disable --now tgt (if it is the system's), or choose another: PUMICE_TGT__PORTAL"
    return Finding("iscsi portal", Verdict.MISSING, f"{address}: {reason}", NO_EXPORTS, cure)


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
            return _ok(part, "QEMU reaches iSCSI targets by itself")
    except PumiceError as error:
        return Finding(part, Verdict.MISSING, str(error), NO_SERVERS, cure)
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
            return Finding("accelerator", Verdict.MISSING, str(error), NO_SERVERS, cure)
    if chosen is Accelerator.KVM:
        return _ok("accelerator", "KVM")
    why = "a trial under KVM did not end in time" if Path("/dev/kvm").exists() else "there is no /dev/kvm"
    cure = "a processor with VT-x or AMD-V, or nested virtualization"
    return Finding("accelerator", Verdict.DEGRADED, f"TCG: {why}", "everything; guests are slow", cure)


def libvirt_binding() -> Finding:
    """Python's libvirt module."""
    try:
        number = load().getVersion()
    except Misconfigured:
        cure = "apt-get install python3-libvirt, then scripts/setup"
        return Finding("libvirt for python", Verdict.MISSING, "not installed", NO_SERVERS, cure)
    return _ok("libvirt for python", f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}")


async def private_libvirtd() -> Finding:
    """What a libvirtd of our own takes: the program, root, and the right to a mount namespace."""
    part = "private libvirtd"
    if not shutil.which("libvirtd", path=_SBIN):
        cure = "apt-get install libvirt-daemon-system"
        return Finding(part, Verdict.MISSING, "libvirtd is not installed", NO_SERVERS, cure)
    system = "or use the system's: PUMICE_COMPUTE__LIBVIRT_URI=qemu:///system"
    if os.geteuid() != 0:
        return Finding(part, Verdict.MISSING, "needs root", NO_SERVERS, f"run with sudo, {system}")
    try:
        await run("unshare", "--mount", "true", timeout=10)
    except PumiceError as error:
        return Finding(part, Verdict.MISSING, f"no mount namespace: {error}", NO_SERVERS, system)
    return _ok(part, "can be started")


def tour_guest() -> Finding:
    """What builds the little guest of the tour."""
    if missing := missing_packages():
        cure = f"apt-get install {' '.join(missing)}"
        return Finding("guest of the tour", Verdict.MISSING, "tools are missing", "all but the tour", cure)
    return _ok("guest of the tour", "can be built")


# --- how it is seen -----------------------------------------------------------------------------


async def _version(part: str, command: str, package: str, without: str) -> Finding:
    try:
        said = await run(command, "--version", timeout=10)
    except Misconfigured:
        return Finding(part, Verdict.MISSING, "not installed", without, f"apt-get install {package}")
    except PumiceError as error:
        return Finding(part, Verdict.MISSING, str(error), without, f"apt-get install --reinstall {package}")
    return _ok(part, said.partition("\n")[0])


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(it for it in (path, *path.parents) if it.exists())


def _may_write(path: Path) -> bool:
    return os.access(_existing(path), os.W_OK)


def _cannot_listen(host: str, port: int) -> str | None:
    """Why nobody could listen there now; None when somebody could."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error.strerror
    return None


def _running(settings: Settings) -> str | None:
    """The process id of the Pumice that holds this host's lock."""
    try:
        with (settings.state_dir / f"{settings.host}.lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "unknown"
    except OSError:
        pass
    return None

"""The connector ``kernel``: volumes as block devices of this host, by its own initiators, through os-brick.

Connecting an attachment, in this order:

1. its *note* is written: what is needed to disconnect, without the password
2. os-brick logs in at every portal, waits for the device and, with multipath, for the map above the paths
3. the device is added to the note

and disconnecting the other way round: so whatever a killed process had begun has a note, and ``disconnect``
takes it apart. What fails is taken apart at once.

    state_dir/connections/<attachment>    a note
    state_dir/locks                       os-brick's, one for each portal and target

One call at a time for each attachment. A call that has no time left is waited for by the next one, so that the
two never work against each other. Never: a device let go while something uses it; a password on the disk.
"""

import asyncio
import errno
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import structlog

from pumice.host.command import run
from pumice.host.thread import Threads, in_thread
from pumice.hypervisor.connectors import brick
from pumice.hypervisor.connectors.brick import Brick, BrickFailed, Properties
from pumice.hypervisor.connectors.contract import Remote
from pumice.hypervisor.contract import BlockSource, NvmeSource
from pumice.model.connector import Connector
from pumice.model.errors import Misconfigured, Retryable, in_full
from pumice.model.ids import AttachmentId

log = structlog.get_logger(__name__)

T = TypeVar("T")

COMMANDS = {
    "iscsiadm": "open-iscsi",
    "lsscsi": "lsscsi",
    "sg_scan": "sg3-utils",
    "multipath": "multipath-tools",
}
"""What os-brick runs, by Debian's packages."""

INITIATOR_FILE = Path("/etc/iscsi/initiatorname.iscsi")
HOST_NQN_FILE = Path("/etc/nvme/hostnqn")
_LINKS = Path("/dev/disk")
_SECRETS = ("auth_username", "auth_password")
_AT_ONCE = 16
_UDEV_SECONDS = 2.0
_ORPHANS_SECONDS = 30.0
_GROWN_SECONDS = 20.0
_GRACE = 20.0
"""Seconds after its limit in which a call of os-brick, asleep when it passed, notices and ends by itself."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note of what is connected, or was begun to be."""

    owner: str
    protocol: str
    multipath: bool
    properties: Properties
    device: str | None = None
    """Absent while it is being connected."""


class KernelConnector:
    """The connections of this host. ``seconds`` is the limit of every call."""

    driver = "kernel"

    def __init__(self, state_dir: Path, *, multipath: bool = False, seconds: float = 90.0) -> None:
        self._notes = state_dir.absolute() / "connections"
        self._locks = state_dir.absolute() / "locks"
        self._multipath = multipath
        self._seconds = seconds
        self._turns: WeakValueDictionary[AttachmentId, asyncio.Lock] = WeakValueDictionary()
        self._late: dict[AttachmentId, asyncio.Future[Any]] = {}
        self._threads = Threads("os-brick", _AT_ONCE)

    async def start(self) -> None:
        """See ``StorageConnector.start``. With multipath, multipathd must run, or paths pass for disks."""
        await in_thread(brick.load, self._locks)
        self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
        for command, package in COMMANDS.items():
            if shutil.which(command) is None:
                raise Misconfigured(f"os-brick needs the command '{command}': apt-get install {package}")
        _initiator()
        if self._multipath:
            try:
                await run("multipathd", "show", "status", timeout=10)
            except Retryable as error:
                raise Misconfigured(
                    f"[compute] multipath is set, and multipathd does not run: {error}"
                ) from None

    async def properties(self, host: Connector) -> Connector:
        """The names of the kernel's initiators, from where the distribution keeps them."""
        nqn = HOST_NQN_FILE.read_text().strip() if HOST_NQN_FILE.exists() else ""
        return replace(host, initiator=_initiator(), nqn=nqn, multipath=self._multipath)

    async def connect(self, attachment: AttachmentId, owner: str, source: Remote) -> BlockSource:
        """See ``StorageConnector.connect``. The device is given by a name of its own, where udev makes one."""
        fresh, secrets = _described(owner, source, self._multipath)

        async def work() -> BlockSource:
            known = self._read(attachment)
            if known and replace(known, device=None) != fresh:
                await self._take_apart(attachment, known)
                known = None
            if known and known.device and _lives(link := _own_name(Path(known.device), known), known):
                return BlockSource(link)
            if known is None:
                await in_thread(self._write, attachment, fresh)
            try:
                device = await self._on_brick(
                    attachment, fresh, lambda brick: brick.connect(fresh.properties | secrets)
                )
            except (BrickFailed, Retryable) as error:
                log.warning("volume.unreachable", attachment=attachment, error=in_full(error))
                await self._take_apart(attachment, fresh)
                raise Retryable(
                    "The volume could not be connected to its server's host.", in_full(error)
                ) from None
            await in_thread(self._write, attachment, replace(fresh, device=str(device)))
            link = _own_name(device, fresh)
            await _becomes_true(lambda: _leads_to(link, device), _UDEV_SECONDS)
            return BlockSource(link if _leads_to(link, device) else device)

        return await self._in_turn(attachment, work)

    async def disconnect(self, attachment: AttachmentId) -> None:
        """See ``StorageConnector.disconnect``."""

        async def work() -> None:
            if known := self._read(attachment):
                await self._take_apart(attachment, known)

        await self._in_turn(attachment, work)

    async def grown(self, attachment: AttachmentId, size: int) -> None:
        """See ``StorageConnector.grown``. Raises ``Retryable`` while a path is down: it keeps its size."""

        async def work() -> None:
            known = self._read(attachment)
            end = time.monotonic() + _GROWN_SECONDS
            while known:
                try:
                    seen = await self._on_brick(attachment, known, lambda brick: brick.extend(known.properties))
                except BrickFailed as error:
                    why = str(error)
                else:
                    if seen is None or seen >= size:
                        return
                    why = f"its device on this host has {seen} bytes, and not {size}"
                if time.monotonic() > end:
                    raise Retryable("The volume's new size is not seen by its server's host.", f"{why}.")
                await asyncio.sleep(0.5)  # a session, or udev's link, may just be coming back

        await self._in_turn(attachment, work)

    async def connections(self) -> dict[AttachmentId, str]:
        """See ``StorageConnector.connections``."""
        found = {}
        for name in os.listdir(self._notes) if self._notes.is_dir() else ():
            if note := self._read(AttachmentId(name)):
                found[AttachmentId(name)] = note.owner
        return found

    # --- the parts of a call ---------------------------------------------------------------------------

    async def _take_apart(self, attachment: AttachmentId, note: Note) -> None:
        """Disconnect, and forget the note once nothing is left.

        A disk that cannot be flushed any more (its paths are gone) is let go all the same, unless it is in use.
        A session that is still trying to log in cannot be ended yet: it is asked again.
        """
        device = Path(note.device) if note.device else None
        end = time.monotonic() + self._seconds
        await _wait_for_commands_of(note.properties)
        while True:
            try:
                await self._on_brick(
                    attachment, note, lambda brick: brick.disconnect(note.properties, device, force=False)
                )
                break
            except BrickFailed as error:
                held = device is not None and await in_thread(_is_held, device)
                if held:
                    raise Retryable(
                        "Something on its server's host still uses the volume.", f"{device}."
                    ) from None
                if time.monotonic() > end:
                    raise Retryable(
                        "The volume could not be disconnected from its server's host.", str(error)
                    ) from None
                log.warning("volume.not_flushed", attachment=attachment, error=in_full(error))
            with suppress(BrickFailed):  # what is left after it, the next round sees
                await self._on_brick(
                    attachment, note, lambda brick: brick.disconnect(note.properties, device, force=True)
                )
            await asyncio.sleep(1.0)
        (self._notes / attachment).unlink(missing_ok=True)

    async def _on_brick(self, attachment: AttachmentId, note: Note, call: Callable[[Brick], T]) -> T:
        """Make a call of os-brick in a thread, after a late one. Raises ``Retryable`` or ``BrickFailed``."""
        if late := self._late.get(attachment):
            await asyncio.wait([late], timeout=self._seconds)
            if not late.done():
                raise Retryable("An earlier call for this volume has not come to its end.")
            del self._late[attachment]

        def work() -> T:
            return call(Brick(note.protocol, multipath=note.multipath, seconds=self._seconds))

        working = self._threads.run(work)
        self._late[attachment] = working
        working.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, whoever asks
        try:
            return await asyncio.wait_for(asyncio.shield(working), self._seconds + _GRACE)
        except TimeoutError:
            raise Retryable(f"It took longer than {self._seconds:g} seconds.") from None
        finally:
            if working.done():
                del self._late[attachment]

    async def _in_turn(self, attachment: AttachmentId, work: Callable[[], Awaitable[T]]) -> T:
        turn = self._turns.setdefault(attachment, asyncio.Lock())
        async with turn:
            return await work()

    def _read(self, attachment: AttachmentId) -> Note | None:
        try:
            return Note(**json.loads((self._notes / attachment).read_bytes()))
        except FileNotFoundError:
            return None

    def _write(self, attachment: AttachmentId, note: Note) -> None:
        """Whole or not at all, and on the disk before anything is connected."""
        fresh = self._notes / f".{attachment}"
        with fresh.open("w") as file:
            json.dump({name: getattr(note, name) for name in Note.__slots__}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._notes / attachment)


def _described(owner: str, source: Remote, multipath: bool) -> tuple[Note, Properties]:
    """The note of a source, and the secrets that are not in it."""
    if isinstance(source, NvmeSource):
        portals = [(*_host_port(portal), "tcp") for portal in source.portals]
        properties: Properties = {
            "target_nqn": source.nqn,
            "vol_uuid": source.uuid,
            "portals": [list(portal) for portal in portals],
            "host_nqn": source.host_nqn,
        }
        return Note(owner, "NVMEOF", multipath, properties), {}
    properties = {
        "target_discovered": False,
        "target_portal": source.portal,
        "target_iqn": source.iqn,
        "target_lun": source.lun,
        "auth_method": "CHAP",
    }
    portals_of = (source.portal, *source.others)
    if multipath and source.others:
        properties |= {
            "target_portals": list(portals_of),
            "target_iqns": [source.iqn] * len(portals_of),
            "target_luns": [source.lun] * len(portals_of),
        }
    return Note(owner, "ISCSI", multipath, properties), dict(
        zip(_SECRETS, (source.username, source.password), strict=True)
    )


def _host_port(portal: str) -> tuple[str, str]:
    host, _, port = portal.rpartition(":")
    return host.strip("[]"), port


def _initiator() -> str:
    """The IQN of this host. Raises ``Misconfigured``."""
    try:
        for line in INITIATOR_FILE.read_text().splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "InitiatorName" and value.strip():
                return value.strip()
    except FileNotFoundError:
        pass
    raise Misconfigured(f"{INITIATOR_FILE} names no initiator: apt-get install open-iscsi")


def _own_name(device: Path, note: Note) -> Path:
    """The name that udev makes for the device and that will never be another's."""
    properties = note.properties
    if note.protocol == "NVMEOF":
        return _LINKS / f"by-id/nvme-uuid.{properties['vol_uuid']}"
    if device.name.startswith("dm-"):
        uuid = Path("/sys/class/block") / device.name / "dm/uuid"
        return _LINKS / "by-id" / f"dm-uuid-{uuid.read_text().strip() if uuid.exists() else 'gone'}"
    words = (properties["target_portal"], properties["target_iqn"], properties["target_lun"])
    return _LINKS / "by-path" / "ip-{}-iscsi-{}-lun-{}".format(*words)


def _leads_to(link: Path, device: Path) -> bool:
    return link.exists() and link.resolve() == device


def _lives(link: Path, note: Note) -> bool:
    """Whether a device that was connected is still there, is the same one, and answers as far as is known."""
    device = Path(note.device or "")
    state = Path("/sys/class/block") / device.name / "device/state"
    return _leads_to(link, device) and state.exists() and state.read_text().strip() in ("running", "live")


def _is_held(device: Path) -> bool:
    """Whether something has the device for itself: a mount, a mapping. A multipath map over it is no user."""
    for holder in (Path("/sys/class/block") / device.name / "holders").glob("dm-*"):
        if (holder / "dm/uuid").read_text().startswith("mpath-"):
            return _is_held(Path("/dev") / holder.name)
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


async def _wait_for_commands_of(properties: Properties) -> None:
    """Wait for the end of commands for this target that a killed process left behind: they may still log in."""
    target = str(properties.get("target_iqn") or properties.get("target_nqn")).encode()
    await _becomes_true(lambda: not _is_named_by_a_command(target), _ORPHANS_SECONDS)


async def _becomes_true(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not await in_thread(condition) and time.monotonic() < end:
        await asyncio.sleep(0.02)


def _is_named_by_a_command(target: bytes) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if target in words and words[0].rpartition(b"/")[2] in (b"iscsiadm", b"nvme"):
            return True
    return False

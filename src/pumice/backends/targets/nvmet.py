"""The target driver ``nvmet``: NVMe over TCP by the kernel itself, through its configuration file system.

A grant is a subsystem of its own, with the volume's device as namespace 1, which one host may connect to:

    nvmet/hosts/<host NQN>                              a host, by name; shared by all its grants
    nvmet/subsystems/<prefix>:volume-<id>               the volume's first grant
        allowed_hosts/<user name>  -> hosts/<host NQN>  the link bears the grant's user name
        namespaces/1/device_path
    nvmet/subsystems/<prefix>:volume-<id>.1             its second, where it has several (``numbered.py``)
    nvmet/ports/<number>/subsystems/<NQN>               where it is reached, at each portal

because the kernel can only end every session of a subsystem at once. What the kernel holds is the only memory
there is: every call completes what an earlier one, cut short, began.

**Nobody is asked for a password.** NVMe's own (DH-HMAC-CHAP) has one key for a host, not for a volume; os-brick
cannot hand one over, and Debian's kernel is built without it. A host's NQN alone lets in: keep the portals on a
network that only hosts reach.
"""

import os
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pumice.backends.targets.contract import Grant, path_of
from pumice.backends.targets.kernel_turn import KernelTurn
from pumice.backends.targets.numbered import Numbered
from pumice.host.command import run
from pumice.model.errors import Invalid, Misconfigured, Retryable
from pumice.model.export import Device, NvmeExport
from pumice.model.ids import VolumeId

DEFAULT_PREFIX = "nqn.2010-10.org.openstack"
ROOT = Path("/sys/kernel/config/nvmet")
HOSTS, SUBSYSTEMS, PORTS = ROOT / "hosts", ROOT / "subsystems", ROOT / "ports"
NAMESPACE = 1
_NQN_LIMIT = 223  # bytes; NVMe base specification, section 4.5

T = TypeVar("T")


class NvmetTarget:
    """The ``Target`` contract on this machine's kernel. ``portals``: each ``ip:port`` to listen at."""

    driver = "nvmet"
    protocol = "NVMe-oF"
    grows_in_use = True
    local_to_host = False

    def __init__(self, portals: Sequence[str], *, nqn_prefix: str = DEFAULT_PREFIX) -> None:
        self.portals = tuple(portals)
        self._names = Numbered(nqn_prefix)
        self._turn = KernelTurn("nvmet")

    async def start(self) -> None:
        """See ``Target.start``. Loads the kernel's modules."""
        with suppress(Retryable):  # it may be built in; what counts is whether it is there
            await run("modprobe", "nvmet-tcp", timeout=30)
        if not ROOT.is_dir():
            raise Misconfigured(
                "This kernel's NVMe target is not there: see why 'modprobe nvmet-tcp' fails, and that configfs "
                "is mounted at /sys/kernel/config."
            )
        await self._in_turn(lambda: [_port(portal) for portal in self.portals])

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> NvmeExport:
        """See ``Target.grant``. ``read_only`` is the host's to keep: the kernel cannot."""
        for word in (grant.username, grant.initiator):
            if not word or "/" in word or len(word) > _NQN_LIMIT:
                raise Invalid("A host's NQN holds no '/', and at most 223 characters.")
        name = await self._in_turn(lambda: self._grant(volume, path_of(device), grant))
        return NvmeExport(name, self.portals, NAMESPACE, _identity(name))

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        """See ``Target.revoke``. No session but the grant's own ends."""
        await self._in_turn(lambda: self._revoke(volume, grant.username))

    async def remove(self, volume: VolumeId) -> None:
        """See ``Target.remove``."""
        await self._in_turn(lambda: self._remove(volume))

    async def resize(self, volume: VolumeId, device: Device) -> None:
        """See ``Target.resize``. Hosts are told by the kernel, and no request fails."""
        del device  # it is the same one, larger
        await self._in_turn(lambda: self._resize(volume))

    async def exports(self) -> Mapping[VolumeId, frozenset[str]]:
        """See ``Target.exports``. Subsystems whose name does not begin with our prefix are not looked at."""
        return await self._in_turn(self._exports)

    # --- in the thread: one call, from reading what is there to its last change ------------------------

    def _grant(self, volume: VolumeId, device: Path, grant: Grant) -> str:
        names = self._of(volume)
        name = next((it for it in names if grant.username in _users(it)), None)
        if name and _users(name)[grant.username] != grant.initiator:
            _empty(name)  # it is another host's now
        if name is None:
            number = self._names.choose(volume, grant.name, [bool(_users(it)) for it in names])
            for below in range(len(names), number):
                (SUBSYSTEMS / self._names.name(volume, below)).mkdir()
            name = self._names.name(volume, number)
        _make(name, device)
        _allow(name, grant.username, grant.initiator)
        for portal in self.portals:
            _link(_port(portal) / "subsystems" / name, SUBSYSTEMS / name)
        return name

    def _revoke(self, volume: VolumeId, username: str) -> None:
        for name in self._of(volume):
            if username in _users(name):
                _empty(name)
        for name in reversed(self._of(volume)):
            if _users(name):
                return
            _empty(name)
            (SUBSYSTEMS / name).rmdir()

    def _remove(self, volume: VolumeId) -> None:
        for name in reversed(self._of(volume)):
            _empty(name)
            (SUBSYSTEMS / name).rmdir()

    def _resize(self, volume: VolumeId) -> None:
        for name in self._of(volume):
            with suppress(FileNotFoundError):  # a subsystem that nobody is in
                (SUBSYSTEMS / name / f"namespaces/{NAMESPACE}/revalidate_size").write_text("1")

    def _exports(self) -> dict[VolumeId, frozenset[str]]:
        found: dict[VolumeId, frozenset[str]] = {}
        for name in os.listdir(SUBSYSTEMS):
            if volume := self._names.volume(name):
                users = _users(name) if self._is_open(name) else ()
                found[volume] = found.get(volume, frozenset()).union(users)
        return found

    def _is_open(self, name: str) -> bool:
        listens = all((_port(portal) / "subsystems" / name).is_symlink() for portal in self.portals)
        return listens and _read(SUBSYSTEMS / name / f"namespaces/{NAMESPACE}/enable") == "1"

    def _of(self, volume: VolumeId) -> list[str]:
        """The subsystems of a volume."""
        return self._names.found(volume, lambda name: (SUBSYSTEMS / name).is_dir())

    async def _in_turn(self, call: Callable[[], T]) -> T:
        try:
            return await self._turn.take(call)
        except OSError as error:
            raise Retryable("The kernel's NVMe target refused.", str(error)) from error


# --- the kernel's directories: each call makes true what it says, whatever is there ---------------------


def _make(name: str, device: Path) -> None:
    """The subsystem, with this device as its namespace, for nobody yet."""
    folder = SUBSYSTEMS / name
    folder.mkdir(exist_ok=True)
    _write(folder / "attr_allow_any_host", "0")
    space = folder / f"namespaces/{NAMESPACE}"
    space.mkdir(exist_ok=True)
    if _read(space / "device_path") == str(device) and _read(space / "enable") == "1":
        return
    _write(space / "enable", "0")
    _write(space / "device_path", str(device))
    _write(space / "device_uuid", _identity(name))
    if device.is_file():
        _write(
            space / "buffered_io", "1"
        )  # a file system may have no other way; a flush reaches the disk all the same
    try:
        _write(space / "enable", "1")
    except OSError as error:
        raise Retryable(
            "The kernel's NVMe target refused to export the volume.", f"{device}: {error.strerror}"
        ) from None


def _allow(name: str, username: str, host: str) -> None:
    (HOSTS / host).mkdir(exist_ok=True)
    _link(SUBSYSTEMS / name / "allowed_hosts" / username, HOSTS / host)


def _users(name: str) -> dict[str, str]:
    """The host of each user name that may come in."""
    folder = SUBSYSTEMS / name / "allowed_hosts"
    return {user: os.path.basename(os.readlink(folder / user)) for user in os.listdir(folder)}


def _empty(name: str) -> None:
    """Close a subsystem: nobody may come in, sessions have ended, and the device is let go."""
    for user, host in _users(name).items():
        (SUBSYSTEMS / name / "allowed_hosts" / user).unlink()
        with suppress(OSError):  # another grant needs the host
            (HOSTS / host).rmdir()
    for port in PORTS.iterdir():
        (port / "subsystems" / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        (SUBSYSTEMS / name / f"namespaces/{NAMESPACE}").rmdir()


def _port(portal: str) -> Path:
    """The directory of a portal, made where it is not there; a number that another one has is left alone."""
    address, _, service = portal.rpartition(":")
    address = address.strip("[]")
    wanted = {"traddr": address, "trsvcid": service, "trtype": "tcp"}
    first = zlib.crc32(portal.encode()) % 0xF000 + 1
    for number in range(first, first + 16):
        port = PORTS / str(number)
        if not port.is_dir():
            port.mkdir()
            for word, value in {"adrfam": "ipv6" if ":" in address else "ipv4", **wanted}.items():
                _write(port / f"addr_{word}", value)
        if not _read(port / "addr_trtype"):  # made by a process that was killed before it said more
            port.rmdir()
            return _port(portal)
        if all(_read(port / f"addr_{word}") == value for word, value in wanted.items()):
            return port
    raise Retryable("Others hold every number that an NVMe port could have.", f"{portal}.")


def _identity(name: str) -> str:
    """The UUID of a subsystem's namespace. No two may have the same, even where they are one volume's."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _link(link: Path, to: Path) -> None:
    with suppress(FileExistsError):
        link.symlink_to(to)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""


def _write(file: Path, value: str) -> None:
    if _read(file) != value:
        file.write_text(value)

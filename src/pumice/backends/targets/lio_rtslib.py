"""What LIO, the kernel's own target, holds for one volume; made and taken apart through rtslib.

    core/iblock_N/pumice-<volume>        the *backstore*: the volume's device (``fileio_N`` where it is a file)
    iscsi/<iqn>/tpgt_1                   a *target*, with the backstore as its logical unit 1
        np/<ip:port>                     each portal
        acls/<initiator>                 who may log in: one account each, and the unit mapped to it

rtslib looks for a backstore by walking through all of them, and for its users by walking through all targets.
Here the number N follows from the backstore's name, and a target is named by its volume, so that each call
costs the same however many exports there are. Never: a name touched that is not ours.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pumice.model.errors import Misconfigured, Retryable

CORE = Path("/sys/kernel/config/target/core")
ISCSI = Path("/sys/kernel/config/target/iscsi")
LUN = 1

_DATABASE = Path("/etc/target")
"""The directory in which LIO keeps persistent reservations; rtslib cannot do without it."""

_PLACES = 4
"""How many numbers a store's name may lead to: two names with one number are rare, five do not occur."""

Backstore = Any
"""``rtslib_fb.StorageObject``, which has no types."""


def load() -> Any:
    """The ``rtslib_fb`` module. Raises ``Misconfigured`` where it is not installed."""
    try:
        import rtslib_fb
    except ImportError:
        raise Misconfigured(
            "The target driver 'lio' needs rtslib-fb: pip install 'pumice[kernel]', or apt-get install "
            "python3-rtslib-fb."
        ) from None
    return rtslib_fb


def prepare() -> None:
    """Load LIO into the kernel. Raises ``Misconfigured`` when this kernel has none."""
    rtslib = load()
    try:
        _DATABASE.mkdir(exist_ok=True)
        rtslib.RTSRoot()
        rtslib.FabricModule("iscsi")._check_self()
    except (rtslib.RTSLibError, OSError) as error:
        raise Misconfigured(f"This kernel's iSCSI target (LIO) cannot be used: {error}") from None


# --- the store ------------------------------------------------------------------------------------------


def find_store(name: str) -> Backstore | None:
    """The store of this name, whole or not."""
    rtslib = load()
    for folder in _places(name):
        if (folder / name).is_dir():
            plugin, _, number = folder.name.partition("_")
            kind = rtslib.BlockStorageObject if plugin == "iblock" else rtslib.FileIOStorageObject
            return kind(name, index=number)
    return None


def make_store(name: str, device: Path, serial: str) -> Backstore:
    """A store that is not there yet. Raises ``Retryable`` when the device cannot be used."""
    rtslib = load()
    block = device.is_block_device()
    if not block and not device.is_file():
        raise Retryable("The volume's device is not there.", f"LIO cannot export {device}.")
    plugin = "iblock" if block else "fileio"
    number = next(
        folder.name.partition("_")[2]
        for folder in _places(name)
        if folder.name.startswith(plugin) and not (folder.is_dir() and any(_stores_in(folder)))
    )
    try:
        if block:
            backstore = rtslib.BlockStorageObject(name, str(device), wwn=serial, index=number)
        else:
            # Write-back: what an initiator has flushed is on disk, as with every disk that has a cache.
            size = device.stat().st_size
            backstore = rtslib.FileIOStorageObject(name, str(device), size, serial, True, index=number)
    except (rtslib.RTSLibError, OSError) as error:
        raise Retryable("LIO refused to export the volume.", f"{device}: {error}") from None
    with suppress(rtslib.RTSLibError):  # a device that cannot discard is exported all the same
        backstore.set_attribute("emulate_tpu", 1)
    return backstore


def is_whole(backstore: Backstore, device: Path) -> bool:
    """Whether it is configured, with this device at its size (which a block device tells by itself)."""
    if not backstore.is_configured() or backstore.udev_path != str(device):
        return False
    return backstore.plugin == "block" or (device.is_file() and backstore.size == device.stat().st_size)


def drop_backstore(name: str) -> None:
    """Take the store away, which no unit refers to any more, with whatever a killed process made of it."""
    for folder in _places(name):
        with suppress(FileNotFoundError):
            (folder / name).rmdir()
        if folder.is_dir() and not any(_stores_in(folder)):
            folder.rmdir()


def _places(name: str) -> Iterator[Path]:
    first = zlib.crc32(name.encode()) >> 1
    for plugin in ("iblock", "fileio"):
        for number in range(first, first + _PLACES):
            yield CORE / f"{plugin}_{number}"


def _stores_in(folder: Path) -> Iterator[Path]:
    return (entry for entry in folder.iterdir() if entry.is_dir())


# --- a target -------------------------------------------------------------------------------------------


class Rule(NamedTuple):
    """How an initiator may log in."""

    user: str
    """Empty where a process was killed while it made the rule: such a rule lets nobody in."""
    finds_disk: bool


class TargetEntry:
    """One target. Each call completes what an earlier one, cut short, began."""

    def __init__(self, iqn: str) -> None:
        self.iqn = iqn
        self._group = ISCSI / iqn / "tpgt_1"

    def exists(self) -> bool:
        """Whether the kernel has the target, whole or not."""
        return (ISCSI / self.iqn).is_dir()

    def rules(self) -> dict[str, Rule]:
        """The rule of each initiator."""
        found = {}
        for rule in _listed(self._group / "acls"):
            user = (rule / "auth/userid").read_text().strip("\0\n")
            shown = any(map(_link, _listed(rule, prefix="lun_")))
            found[rule.name] = Rule("" if user == "NULL" else user, shown)
        return found

    def is_open(self, portals: tuple[str, ...]) -> bool:
        """Whether it has its unit, listens at these portals and nowhere else, and is enabled."""
        unit = self._group / f"lun/lun_{LUN}"
        return (
            unit.is_dir()
            and _link(unit) is not None
            and {portal.name for portal in _listed(self._group / "np")} == set(portals)
            and (self._group / "enable").read_text().strip() == "1"
        )

    def open(self, backstore: Backstore, portals: tuple[str, ...]) -> None:
        """Make the target, with ``backstore`` as its unit. Nobody is let in without a rule and a password."""
        rtslib = load()
        group = self._tpg()
        group.set_attribute("authentication", 1)
        group.set_attribute("generate_node_acls", 0)
        group.set_attribute("demo_mode_discovery", 0)
        unit = self._group / f"lun/lun_{LUN}"
        if unit.is_dir() and _link(unit) != Path(backstore.path):
            rtslib.LUN(group, LUN).delete()
        if not unit.is_dir():
            rtslib.LUN(group, LUN, backstore)
        for initiator in self.rules():
            self._map(rtslib.NodeACL(group, initiator))
        for portal in list(group.network_portals):
            if f"{portal.ip_address}:{portal.port}" not in portals:
                portal.delete()
        for portal in portals:
            address, _, port = portal.rpartition(":")
            rtslib.NetworkPortal(group, address, port)
        group.enable = True

    def admit(self, initiator: str, account: dict[str, str], *, read_only: bool) -> None:
        """Let the initiator in with this account: values by rtslib's names for them, the user's name last."""
        rule = load().NodeACL(self._tpg(), initiator)
        for name, value in account.items():
            setattr(rule, f"chap_{name}", value)
        self._map(rule)
        mapped = rule.mapped_lun(LUN)
        if mapped.write_protect != read_only:
            mapped.write_protect = read_only

    def shut_out(self, initiator: str) -> None:
        """Take the initiator's rule away, which ends its session."""
        if (self._group / "acls" / initiator).is_dir():
            load().NodeACL(self._tpg(), initiator, "lookup").delete()

    def take_unit_out(self) -> None:
        """Take the disk out of the target and close it until ``open``: initiators wait, they see no error."""
        group = self._tpg()
        group.enable = False
        if (self._group / f"lun/lun_{LUN}").is_dir():
            load().LUN(group, LUN).delete()

    def close(self) -> None:
        """Take the target away with everything in it; sessions end."""
        if self.exists():
            self._target().delete()

    def _map(self, rule: Any) -> None:
        """Show the unit to the initiator of the rule."""
        rtslib = load()
        mapped = Path(rule.path) / f"lun_{LUN}"
        if mapped.is_dir() and _link(mapped) is None:
            rtslib.MappedLUN(rule, LUN).delete()
        if not mapped.is_dir():
            rtslib.MappedLUN(rule, LUN, LUN)

    def _target(self) -> Any:
        rtslib = load()
        return rtslib.Target(rtslib.FabricModule("iscsi"), self.iqn)

    def _tpg(self) -> Any:
        return load().TPG(self._target(), 1)


def targets() -> Iterator[str]:
    """The name of every iSCSI target of this kernel, foreign ones too."""
    return (folder.name for folder in _listed(ISCSI, prefix="iqn."))


def _listed(folder: Path, prefix: str = "") -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.name.startswith(prefix)]
    except FileNotFoundError:
        return []


def _link(folder: Path) -> Path | None:
    """The target of the only link in a directory of the kernel's configuration."""
    for entry in folder.iterdir():
        if entry.is_symlink():
            return Path(os.path.realpath(entry))
    return None

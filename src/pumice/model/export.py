"""How a host reaches a volume: a value of one of a few kinds.

It is stored as JSON (``to_row``) in words that the version before reads as well, and shown to clients in
Cinder's (``api/volume/connection_info.py``). Another kind is one more class here, and what clients and
hypervisors are told of it: the type checker names both places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class IscsiExport:
    """A logical unit of an iSCSI target (RFC 7143)."""

    iqn: str
    portals: tuple[str, ...]
    """The addresses of the target, each ``ip:port``, at least one: several are several paths to one disk."""
    lun: int
    encrypted: bool = False
    """Whether its bytes are LUKS, for whoever has the volume's key."""

    @property
    def name(self) -> str:
        """The name by which an initiator knows the target: its IQN."""
        return self.iqn

    def to_row(self) -> dict[str, object]:
        """The export as a row stores it."""
        return _at(self.iqn, self.portals) | {"lun": self.lun} | _encrypted(self)


@dataclass(frozen=True, slots=True)
class NvmeExport:
    """A namespace of an NVMe over TCP subsystem."""

    nqn: str
    portals: tuple[str, ...]
    """The addresses of the subsystem, each ``ip:port``."""
    nsid: int
    uuid: str
    """What an initiator finds the namespace by."""
    encrypted: bool = False

    @property
    def name(self) -> str:
        """The name by which an initiator knows the subsystem: its NQN."""
        return self.nqn

    def to_row(self) -> dict[str, object]:
        """The export as a row stores it."""
        return _at(self.nqn, self.portals) | {"lun": self.nsid, "uuid": self.uuid} | _encrypted(self)


class _Opened:
    """What a host opens by its path, with no target between."""

    __slots__ = ()
    path: str

    @property
    def name(self) -> str:
        """The path, which is what it is named by."""
        return self.path

    @property
    def portals(self) -> tuple[str, ...]:
        """None: it is not reached over the network."""
        return ()


@dataclass(frozen=True, slots=True)
class LocalDevice(_Opened):
    """A file or block device that the server's own host can open: nothing is exported."""

    path: str
    is_block: bool = False
    encrypted: bool = False

    def to_row(self) -> dict[str, object]:
        """The device as a row stores it."""
        return {"path": self.path, "is_block": self.is_block} | _encrypted(self)


@dataclass(frozen=True, slots=True)
class SharedFile(_Opened):
    """A file in a directory that every host has mounted: nothing is exported."""

    path: str
    """Where our own hosts have it, all at the same path."""
    inode: int
    """The file's number in its file system, which is the same on every host: another file has another."""
    share: str = ""
    """What is mounted there (``server:/volumes``), for who mounts it himself; empty where nobody said."""
    within: str = ""
    """The file's path below what is mounted."""
    options: str = ""
    """How to mount it, as words for ``mount``."""
    base: str = ""
    """The directory below which they are to mount it."""
    encrypted: bool = False

    def to_row(self) -> dict[str, object]:
        """The file as a row stores it: the version before opens it by its path."""
        shared = {"inode": self.inode} | {word: getattr(self, word) for word in _WORDS}
        return {"path": self.path, "is_block": False, "shared": shared} | _encrypted(self)


@dataclass(frozen=True, slots=True)
class RbdImage:
    """An image of Ceph, which every host opens that has a key of the cluster: nothing is exported."""

    pool: str
    image: str
    monitors: tuple[str, ...]
    """Addresses, each ``ip:port``."""
    user: str
    """Who may open it, without ``client.``."""
    keyring: str
    """The file that has the user's key, at the same path on every host of ours. The key is told to nobody."""
    cluster: str = "ceph"
    secret_uuid: str = ""
    """By which libvirt on hosts of others knows the key; empty where nobody said."""
    encrypted: bool = False

    @property
    def name(self) -> str:
        """The image as Ceph's clients name it."""
        return f"{self.pool}/{self.image}"

    @property
    def portals(self) -> tuple[str, ...]:
        """None: who asks the monitors is told by them where to go."""
        return ()

    def to_row(self) -> dict[str, object]:
        """The image as a row stores it; the version before cannot read it."""
        words = {word: getattr(self, word) for word in _IMAGE_WORDS}
        return {"rbd": words | {"monitors": list(self.monitors)}} | _encrypted(self)


_WORDS = ("share", "within", "options", "base")
_IMAGE_WORDS = ("pool", "image", "user", "keyring", "cluster", "secret_uuid")
Export = IscsiExport | NvmeExport | LocalDevice | SharedFile | RbdImage
Device = Path | RbdImage
"""What a target is told of a volume: a file or block device of its host, or what needs none."""

UNREAD = IscsiExport("", ("",), 0)
"""Stands for what was stored and cannot be read."""


def of_row(row: Mapping[str, Any]) -> Export:
    """The export that a row holds, written by this version or the one before."""
    encrypted = row.get("encrypted") is True
    if isinstance(image := row.get("rbd"), dict):
        monitors = tuple(map(str, image.get("monitors") or ()))
        named = {word: str(image.get(word) or "") for word in _IMAGE_WORDS}
        return RbdImage(monitors=monitors, **named, encrypted=encrypted)
    if "path" in row and isinstance(shared := row.get("shared"), dict):
        inode = found if isinstance(found := shared.get("inode"), int) else 0
        words = {word: str(shared.get(word) or "") for word in _WORDS}
        return SharedFile(str(row["path"]), inode, **words, encrypted=encrypted)
    if "path" in row:
        return LocalDevice(str(row["path"]), row.get("is_block") is True, encrypted)
    name, portal = row.get("iqn"), row.get("portal")
    if not isinstance(name, str) or not isinstance(portal, str):
        return UNREAD
    portals = (portal, *map(str, row.get("others") or ()))
    if uuid := row.get("uuid"):
        return NvmeExport(name, portals, row.get("lun", 1), str(uuid), encrypted)
    return IscsiExport(name, portals, row.get("lun", 1), encrypted)


def _at(name: str, portals: Sequence[str]) -> dict[str, object]:
    """A target, in the words of iSCSI for all kinds: the version before knows no others."""
    first, *others = portals
    return {"iqn": name, "portal": first} | ({"others": others} if others else {})


def _encrypted(export: Export) -> dict[str, object]:
    return {"encrypted": True} if export.encrypted else {}

"""What a hypervisor must do. ``docs/adding-a-driver.md`` is the checklist for writing one.

A hypervisor runs the machines of one host. Like a backend it knows neither database nor tenant; it is told
what the machine should be. Rules for every call, checked by ``tests/conformance/test_hypervisors.py``:

* **Idempotent**: defining a machine that is defined, starting one that runs, plugging a disk that is in,
  unplugging one that is out, deleting one that is gone: all succeed and change nothing.
* **Errors**: ``Retryable`` when the daemon does not answer; ``NotFound`` when the machine must exist and does
  not; ``GuestKeepsDisk`` when a guest does not release a disk in time; ``PumiceError`` with the
  hypervisor's own words when it refuses for good. Nothing else, and never with a secret in the message.
* **Secrets** are handed to the daemon and never written to disk in clear.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pumice.model.connector import Connector
from pumice.model.hardware import Hardware
from pumice.model.ids import AttachmentId, ServerId, VolumeId


@dataclass(frozen=True, slots=True)
class IscsiSource:
    """A volume reached through an iSCSI target."""

    portal: str
    """``ip:port``"""
    iqn: str
    lun: int
    username: str
    password: str
    initiator: str
    others: tuple[str, ...] = ()
    """Further portals of the same target."""

    def __repr__(self) -> str:
        return f"IscsiSource({self.iqn} at {self.portal})"


@dataclass(frozen=True, slots=True)
class NvmeSource:
    """A volume reached by NVMe over TCP."""

    portals: tuple[str, ...]
    """``ip:port``"""
    nqn: str
    """The subsystem's name."""
    uuid: str
    """The namespace's identity."""
    host_nqn: str


@dataclass(frozen=True, slots=True)
class BlockSource:
    """A block device of the hypervisor's host, such as a volume that its kernel is connected to."""

    path: Path


@dataclass(frozen=True, slots=True)
class FileSource:
    """A raw file that the hypervisor's host can open."""

    path: Path
    direct: bool = False
    """Whether it is read and written past the host's cache (O_DIRECT)."""
    inode: int | None = None
    """The number that the file must have in its file system; None: whichever is there is meant."""


@dataclass(frozen=True, slots=True)
class RbdSource:
    """An image of Ceph, which QEMU opens by itself."""

    name: str
    """``pool/image``"""
    monitors: tuple[str, ...]
    """``ip:port``"""
    user: str
    keyring: Path
    """The file of this host that has the user's key."""


Source = IscsiSource | NvmeSource | BlockSource | FileSource | RbdSource


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as the guest sees it. ``attachment`` also names the libvirt secret (its UUID)."""

    serial: VolumeId | str
    """What the guest reads as the disk's serial number: the volume's id."""
    device: str
    """``vda``, ``vdb``…"""
    source: Source
    attachment: AttachmentId | None = None
    read_only: bool = False
    shared: bool = False
    """Whether others may have it too (a multiattach volume): else QEMU's lock on a file keeps them out."""
    passphrase: str | None = field(default=None, repr=False)
    """Opens the LUKS on the disk; None where there is none. The guest sees what is inside."""
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    """How fast it may be, by libvirt's names (``total_bytes_sec``, ``read_iops_sec_max``…); none: as it can."""

    @property
    def source_name(self) -> str:
        """What it is read from and written to, by the one name that tells it from another of the same volume.

        A path, or the name of a target or an image; no address, which changes.
        """
        match self.source:
            case IscsiSource(iqn=name, lun=lun):
                return f"{name}/{lun}"
            case NvmeSource(nqn=name):
                return name
            case BlockSource(path=path) | FileSource(path=path):
                return str(path)
            case RbdSource(name=name):
                return name


def disk_named(
    serial: VolumeId | str,
    device: str = "",
    attachment: str | None = None,
    limits: Mapping[str, int] = MappingProxyType({}),
) -> Disk:
    """A disk for the calls that only look at which one it is, or at its limits."""
    known = AttachmentId(attachment) if attachment is not None else None
    return Disk(serial, device, FileSource(Path("/dev/null")), attachment=known, limits=limits)


@dataclass(frozen=True, slots=True)
class Machine:
    """A virtual machine as it should be. ``disks[0]`` is the one it boots from."""

    id: ServerId
    name: str
    vcpus: int
    memory_mib: int
    disks: tuple[Disk, ...] = field(default_factory=tuple)
    hardware: Hardware = field(default_factory=Hardware)


class Power(StrEnum):
    """The power states of Compute's ``OS-EXT-STS:power_state``."""

    RUNNING = "running"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"
    CRASHED = "crashed"


Progress = Callable[[float], None]
"""Told how much is done, from 0 to 1."""


class Hypervisor(Protocol):
    """The machines of this host."""

    driver: str
    """The driver's name in settings: ``libvirt``, ``fake``…"""

    async def start_up(self) -> None:
        """Check that the hypervisor answers. Raises ``Misconfigured`` with what to do."""

    async def connector(self) -> Connector:
        """How this host presents itself to storage. The same at every call and after a restart."""

    async def define(self, machine: Machine) -> None:
        """Make the machine known, off. A machine that is known keeps its definition (and its power)."""

    async def start(self, machine: Machine) -> None:
        """Power it on, with exactly ``machine.disks`` (the definition is brought up to date when it is off)."""

    async def stop(self, server: ServerId, timeout: float) -> None:
        """Ask the guest to power off; pull the plug after ``timeout`` seconds (0: at once).

        Raises ``NotFound`` when no such machine is defined.
        """

    async def reboot(self, server: ServerId, *, hard: bool) -> None:
        """Restart the guest. ``hard`` resets it without asking; else it is asked, and not waited for.

        Raises ``NotFound`` when no such machine is defined, ``InvalidState`` when it is off.
        """

    async def delete(self, server: ServerId) -> None:
        """Pull the plug and forget the machine, its secrets, its local disks and its console log."""

    async def attach(self, server: ServerId, disk: Disk) -> None:
        """Plug the disk into the running guest and into the definition; where it is off, into that alone.

        A disk with this serial number that is in already stays. Raises ``NotFound`` when no such machine is
        defined. When it fails, the disk is in neither.
        """

    async def detach(self, server: ServerId, disk: Disk, timeout: float) -> None:
        """Unplug the disk from both; the guest let go, or ``GuestKeepsDisk`` after ``timeout`` s.

        After ``GuestKeepsDisk`` the disk is still in both, but a guest may let go later: ``disks`` tells.
        Where there is no such machine there is nothing to unplug. Only the disk's serial number and
        attachment are looked at.
        """

    async def pause(self, server: ServerId, seconds: float = 5.0) -> None:
        """Let the guest do nothing until ``resume``, or for ``seconds`` at most, whatever the caller does.

        A process that dies in between resumes it after its next start. One that is off, or no such machine, is
        fine.
        """

    async def resume(self, server: ServerId) -> None:
        """Let a paused guest go on. One that is off, or no such machine, is fine."""

    async def resize_disk(self, server: ServerId, disk: Disk, size: int) -> None:
        """Let the running guest see that the disk has ``size`` bytes now, once its source has.

        The limits that the disk has, if any, hold from now on. Where there is no such machine, or it is off or
        without the disk, there is nothing to tell. Only the disk's serial number, attachment and limits are
        looked at.
        """

    async def mirror(self, server: ServerId, disk: Disk, progress: Progress) -> None:
        """Bring another disk in step with the guest's of that serial number, while the guest runs and writes.

        ``disk`` is that other one: empty, and as large. When this returns, each byte is on both, and what the
        guest writes comes to both before it is told that it is written. A mirror that runs already, begun by
        an earlier call, is waited for. Where the guest has that other disk by now, there is nothing to do.
        Raises ``NotFound`` where there is no such machine or disk, ``InvalidState`` where the guest is off.
        """

    async def switch(self, server: ServerId, disk: Disk) -> None:
        """Let the guest go on with the disk that ``mirror`` brought in step, now and after a power-off.

        It does not notice. Where it has that disk already there is nothing to do. Raises ``Retryable`` where
        the disk is not in step, ``InvalidState`` where the guest went off before.
        """

    async def end_mirror(self, server: ServerId, disk: Disk) -> bool:
        """Write no more to the disk that ``mirror`` was given. Whether the guest has gone over to it: it stays.

        False, with nothing done, where there is no mirror, disk or machine.
        """

    async def make_local_disk(
        self, server: ServerId, image: Path, image_format: str, *, virtual_size: int, size_gib: int
    ) -> Path:
        """A raw copy of an inspected image on this host's disk, grown to ``size_gib`` (0: as the image is).

        ``virtual_size`` (bytes) is what inspection found. A copy that is there already is kept. Raises
        ``ImageRefused`` when the image does not fit, ``TryAnotherBackend`` when this host's disk is full.
        """

    async def power(self, server: ServerId) -> Power | None:
        """The guest's power state; None when no such machine is defined."""

    async def disks(self, server: ServerId) -> frozenset[str]:
        """Serial numbers of the disks the running guest (or else the definition) has.

        The empty set where no such machine is defined.
        """

    async def console(self, server: ServerId, lines: int | None) -> str:
        """The end of what the guest wrote to its serial port: ``lines`` lines, or all that is kept.

        Raises ``NotFound`` when no such machine is defined.
        """

    async def machines(self) -> frozenset[ServerId]:
        """Every machine of ours that is defined on this host: what is really there."""

    async def powers(self) -> Mapping[ServerId, Power]:
        """The power state of each of those machines, in one cheap call: it is asked for every few seconds."""

    async def remains(self) -> frozenset[ServerId]:
        """Servers of which this host keeps files (local disks, logs). ``delete`` removes them."""

    async def secrets(self) -> frozenset[AttachmentId]:
        """Attachments of which the daemon holds secrets, or this host a connection."""

    async def forget_secret(self, attachment: AttachmentId) -> None:
        """Take an attachment's secrets away from the daemon, and this host's connection, if they are there."""

"""What a target driver must do: let named initiators reach a volume's device, over the network or on its host.

One target per volume, or one for each of its grants where a driver cannot tell them apart otherwise: the
``Export`` of a grant says where it gets in. One *grant* (an initiator name with a CHAP account of its own) per
attachment. The same rules as for backends hold: every call idempotent, absent is removed, errors are
``Retryable`` or ``TryAnotherBackend``, nothing blocks. Access is granted by initiator name plus CHAP, never by
network address; what a driver's kernel or daemon cannot keep of this, its entry in ``conformance.yaml`` says.

Where hosts open volumes by themselves a driver lets nobody in: its grant says where the volume is, and that
there is nothing to find is what its ``exports`` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pumice.model.errors import Misconfigured
from pumice.model.export import Device, Export
from pumice.model.ids import AttachmentId, VolumeId


@dataclass(frozen=True, slots=True)
class Grant:
    """The right of one attachment's initiator to log in to a volume's target."""

    attachment: AttachmentId
    initiator: str
    """The initiator's IQN (RFC 7143, section 4.2.7); for NVMe the host's NQN."""
    username: str
    """The CHAP user, of this attachment alone: a daemon's targets share accounts. Letters, digits, ``.-_``."""
    password: str
    """12 to 16 characters: every initiator accepts that length (RFC 7143, section 12.1.3)."""
    read_only: bool = False
    name: str = ""
    """The target that let the host in last (``Export.name``): its initiator may wait there."""

    def __repr__(self) -> str:
        return f"Grant({self.attachment}, {self.initiator}, {self.username})"


def path_of(device: Device) -> Path:
    """The file or block device of this host, for a target that exports such. Raises ``Misconfigured``."""
    if isinstance(device, Path):
        return device
    raise Misconfigured(f"{device.name} is no file of this host: its backend needs a target of its own.")


class Target(Protocol):
    """A configured target driver of this host."""

    driver: str
    """The driver's name in settings: ``tgt``, ``fake``…"""
    protocol: str
    """What initiators speak, as Cinder's ``storage_protocol``: ``iSCSI``."""
    grows_in_use: bool
    """Whether ``resize`` disturbs nobody. Otherwise what is under way meanwhile may fail."""
    local_to_host: bool
    """Whether servers of this host alone reach a volume: of another host no connector is let in."""
    portals: tuple[str, ...]
    """The addresses that initiators are told, each ``ip:port``, as an ``Export`` has them."""

    async def start(self) -> None:
        """Check that the daemon answers (start it where the settings say so). Raises ``Misconfigured``."""

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> Export:
        """Export ``device`` if it is not exported yet, and let the grant's initiator in.

        Made again with another password, initiator or device, what was there before is replaced. No
        session ends for another password alone, which is asked for at log-in.
        """

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        """Shut the grant's initiator out and end its sessions; the last grant takes the target with it.

        Only the user name of ``grant`` is looked at. Sessions end last, so an initiator with another grant on
        this volume whose session had to end too can log in again at once.
        """

    async def remove(self, volume: VolumeId) -> None:
        """Remove the volume's target with every grant."""

    async def resize(self, volume: VolumeId, device: Device) -> None:
        """Make initiators able to see that ``device`` grew. Nothing to do where it is not exported.

        Requests under way meanwhile may fail: pause the guests, call this, tell them the new size, resume.
        """

    async def exports(self) -> Mapping[VolumeId, frozenset[str]] | None:
        """Each exported volume with the CHAP user names that get in and find the disk: what is really there.

        A half-made export is listed, without the user names that lack something; granting again completes it.
        None where nothing is exported, because hosts open volumes by themselves.
        """

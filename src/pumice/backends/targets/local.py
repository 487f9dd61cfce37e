"""No target at all: servers of this host open a volume's file or block device themselves.

Nobody is let in and nobody shut out, so there is nothing to make, to lose or to find again: what stands between
two writers is the attachment, and below it QEMU's own lock on the file. That no other host is told where a
volume is follows from ``local_to_host``: whoever asks for another is refused before anything is done.
"""

import stat
from pathlib import Path

from pumice.backends.targets.contract import Grant
from pumice.host.thread import in_thread
from pumice.model.errors import Retryable
from pumice.model.export import LocalDevice
from pumice.model.ids import VolumeId


class LocalTarget:
    """A volume is where its backend has it. See ``targets/contract.py``."""

    driver = "local"
    protocol = "local"
    grows_in_use = True
    local_to_host = True
    portals: tuple[str, ...] = ()

    async def start(self) -> None:
        """Nothing is needed."""

    async def grant(self, volume: VolumeId, device: Path, grant: Grant) -> LocalDevice:  # noqa: ARG002
        return LocalDevice(str(device), await is_block(device))

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        """The hypervisor has let go of it before."""

    async def remove(self, volume: VolumeId) -> None:
        """There is nothing to remove."""

    async def resize(self, volume: VolumeId, device: Path) -> None:
        """Whoever has it open sees how long it is."""

    async def exports(self) -> None:
        """None: there is nothing to find."""


async def is_block(device: Path) -> bool:
    """Whether a volume is a block device and not a file. Raises ``Retryable`` where it cannot be seen."""
    try:
        found = await in_thread(device.stat)
    except OSError as error:
        raise Retryable(f"{device} cannot be opened: {error.strerror}.") from error
    return stat.S_ISBLK(found.st_mode)

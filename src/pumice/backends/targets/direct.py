"""What the targets have in common that export nothing: there is nothing to make, to lose or to find again.

Nobody is let in and nobody shut out. What stands between two writers is the attachment, and below it QEMU's own
lock on a file.
"""

import os
from pathlib import Path

from pumice.backends.targets.contract import Grant
from pumice.host.thread import in_thread
from pumice.model.errors import Retryable
from pumice.model.export import Device
from pumice.model.ids import VolumeId


class DirectReach:
    """See ``targets/contract.py``. What is missing is where a volume is: ``grant``."""

    grows_in_use = True
    portals: tuple[str, ...] = ()

    async def start(self) -> None:
        """Do nothing: what hosts open themselves needs no daemon."""

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        """The hypervisor has let go of it before."""

    async def remove(self, volume: VolumeId) -> None:
        """Do nothing: there is no target to remove."""

    async def resize(self, volume: VolumeId, device: Device) -> None:
        """Do nothing: whoever has the volume open sees how long it is."""

    async def exports(self) -> None:
        """None: there are no exports that could be found."""


async def look(device: Path) -> os.stat_result:
    """What the file system says of a volume. Raises ``Retryable`` where it cannot be seen."""
    try:
        return await in_thread(os.stat, device)
    except OSError as error:
        raise Retryable("The volume's device cannot be opened.", f"{device}: {error.strerror}.") from error

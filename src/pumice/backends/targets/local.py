"""Servers of this host open a volume's file or block device themselves.

That no other host is told where a volume is follows from ``local_to_host``: whoever asks for another is refused
before anything is done.
"""

import stat

from pumice.backends.targets.contract import Grant, path_of
from pumice.backends.targets.direct import DirectReach, look
from pumice.model.export import Device, LocalDevice
from pumice.model.ids import VolumeId


class LocalTarget(DirectReach):
    """A volume is where its backend has it, for this host alone."""

    driver = "local"
    protocol = "local"
    local_to_host = True

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> LocalDevice:  # noqa: ARG002
        """Say where the volume is; nobody is let in or kept out. Raises ``Retryable``."""
        path = path_of(device)
        return LocalDevice(str(path), stat.S_ISBLK((await look(path)).st_mode))

"""Volumes are files in directories that every host has mounted (NFS, CephFS…), and are opened there.

QEMU's lock on a file, which such a file system carries from host to host, keeps a second writer out. A file is
told with its number there: whoever has mounted something else, such as a copy, finds another number, and stops.
"""

from collections.abc import Mapping
from pathlib import Path

from pumice.backends.targets.contract import Grant, path_of
from pumice.backends.targets.direct import DirectReach, look
from pumice.model.export import Device, SharedFile
from pumice.model.ids import VolumeId


class SharedTarget(DirectReach):
    """A volume is where its backend has it, on every host."""

    driver = "shared"
    protocol = "nfs"
    local_to_host = False

    def __init__(self, shares: Mapping[Path, str], *, options: str, base: Path) -> None:
        """``shares``: what is mounted, by its directory; for who mounts it elsewhere, below ``base``."""
        self._shares = sorted(shares.items(), key=lambda it: len(it[0].parts), reverse=True)
        self._options = f"-o {options}" if options else ""
        self._base = str(base)

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> SharedFile:  # noqa: ARG002
        """Say where the volume is; nobody is let in or kept out. Raises ``Retryable``."""
        path = path_of(device)
        inode = (await look(path)).st_ino
        for directory, share in self._shares:
            if path.is_relative_to(directory):
                within = str(path.relative_to(directory))
                return SharedFile(str(path), inode, share, within, self._options, self._base)
        return SharedFile(str(path), inode)

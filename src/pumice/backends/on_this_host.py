"""What the backends have in common whose volumes are files or block devices of this host: nothing is to be done
before they are read and written.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pumice.backends.contract import Progress
from pumice.model.ids import VolumeId
from pumice.model.image_location import RbdLocation


class OnThisHost:
    """See ``contract.py``. A volume's device is where it is read and written."""

    async def device(self, volume: VolumeId, pool: str) -> Path:
        """The volume's file or block device. See ``Backend``."""
        raise NotImplementedError

    async def is_deep(self, volume: VolumeId, pool: str) -> bool:
        """See ``Backend``: blocks are shared, however many copies were made of copies."""
        await self.device(volume, pool)
        return False

    async def flatten(self, volume: VolumeId, pool: str, seconds: float) -> float:  # noqa: ARG002
        """See ``Backend``."""
        await self.device(volume, pool)
        return 1.0

    async def clone_image(
        self,
        volume: VolumeId,  # noqa: ARG002
        pool: str,  # noqa: ARG002
        size: int,  # noqa: ARG002
        image: RbdLocation,  # noqa: ARG002
        progress: Progress,  # noqa: ARG002
    ) -> bool:
        """See ``Backend``: images in Ceph are no bytes of this host."""
        return False

    @asynccontextmanager
    async def opened(self, volume: VolumeId, pool: str) -> AsyncIterator[Path]:
        """See ``Backend``."""
        yield await self.device(volume, pool)

"""An image's base: its bytes as a volume of a pool, of which volumes are cloned."""

from dataclasses import dataclass
from datetime import datetime

from pumice.model.ids import ImageId, VolumeId
from pumice.model.image import Image
from pumice.model.states import ImageBaseStatus


@dataclass(frozen=True, slots=True)
class ImageBase:
    """A base as it was when it was read. ``size`` in GiB; times in UTC.

    It is nobody's: no project sees it, and none is charged for it.
    """

    id: VolumeId
    """What the backend calls its bytes by, as those of a volume."""
    pool: str
    """``host@backend#pool``"""
    image_id: ImageId
    content: str
    """What the image held when the base was begun (``content_of``)."""
    size: int
    status: ImageBaseStatus
    uses: int
    """How many volumes began with it."""
    used_at: datetime
    """When the last one did."""
    operation_id: str | None
    created_at: datetime
    updated_at: datetime | None

    @property
    def project_id(self) -> str:
        """Nobody's: only administrators see it."""
        return ""


def content_of(image: Image) -> str:
    """What tells an image's bytes from any other's under the same id: their format and their digest."""
    return f"{image.disk_format} {image.os_hash_value or image.checksum}"

"""The facts of an image that a volume made from it needs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pumice.model.errors import Invalid
from pumice.model.ids import ImageId
from pumice.model.scope import Scope
from pumice.model.states import ImageStatus
from pumice.store import images
from pumice.store.database import Transaction

SIGNATURE = (
    "img_signature",
    "img_signature_certificate_uuid",
    "img_signature_hash_method",
    "img_signature_key_type",
)
UNVERIFIED = "signatures of images are not verified: compare os_hash_value"


@dataclass(frozen=True, slots=True)
class VolumeImage:
    """An active image that the caller may see, as it is now. Sizes are bytes, except ``min_disk`` (GiB)."""

    id: ImageId
    name: str | None
    size: int
    virtual_size: int
    min_disk: int
    min_ram: int
    """MiB"""
    disk_format: str
    container_format: str
    checksum: str
    properties: Mapping[str, str]

    def metadata(self) -> dict[str, str]:
        """What the volume keeps of it (Block Storage's ``volume_image_metadata``): words only."""
        return dict(self.properties) | {
            "image_id": self.id,
            "image_name": self.name or "",
            "checksum": self.checksum,
            "container_format": self.container_format,
            "disk_format": self.disk_format,
            "min_disk": str(self.min_disk),
            "min_ram": str(self.min_ram),
            "size": str(self.size),
        }


def least(metadata: Mapping[str, str], name: str) -> int:
    """``min_disk`` or ``min_ram`` of a volume's image metadata, where its owner may write anything.

    Raises ``Invalid``.
    """
    text = metadata.get(name) or "0"
    if not re.fullmatch("[0-9]{1,9}", text):
        raise Invalid(f"The volume's image metadata {name} is '{text[:50]}', which is no size: set it right.")
    return int(text)


def image_for_volume(tx: Transaction, who: Scope, image_id: str) -> VolumeImage:
    """The image to make a volume from. Raises ``NotFound``, or ``Invalid`` if it is not active."""
    image = images.get(tx, who, image_id)
    if image.status != ImageStatus.ACTIVE:
        raise Invalid(f"Image {image_id} is not active: it is {image.status}.")
    assert image.size is not None and image.virtual_size is not None and image.checksum is not None
    assert image.disk_format is not None and image.container_format is not None
    return VolumeImage(
        image.id,
        image.name,
        image.size,
        image.virtual_size,
        image.min_disk,
        image.min_ram,
        image.disk_format,
        image.container_format,
        image.checksum,
        image.properties,
    )


def refuse_signed(image: VolumeImage) -> None:
    """Raise ``Invalid`` for an image with a signature or a part of one.

    Cinder verifies the bytes by it, and fails where a part is missing (``verify_glance_image_signature``).
    """
    if parts := [name for name in SIGNATURE if name in image.properties]:
        raise Invalid(
            f"Image {image.id} has {', '.join(parts)}, and {UNVERIFIED}, then unset these properties."
        )

"""The row of a raw image of one MiB."""

from typing import Any

from pumice.model.ids import ImageId, new_id
from pumice.model.image import Image, Visibility
from pumice.model.states import ImageStatus
from pumice.store.columns import now


def raw_image(owner: str, visibility: Visibility = Visibility.PUBLIC, **attributes: Any) -> Image:
    """An image that is active; ``attributes`` are ``min_disk``, ``min_ram`` and ``properties``."""
    return Image(
        id=ImageId(new_id()),
        owner=owner,
        name="cirros",
        status=ImageStatus.ACTIVE,
        visibility=visibility,
        disk_format="raw",
        container_format="bare",
        size=1024**2,
        virtual_size=1024**2,
        checksum="0" * 32,
        os_hash_algo="sha512",
        os_hash_value="0" * 128,
        min_disk=attributes.get("min_disk", 0),
        min_ram=attributes.get("min_ram", 0),
        protected=False,
        os_hidden=False,
        tags=[],
        properties=attributes.get("properties", {}),
        created_at=now(),
        updated_at=now(),
    )

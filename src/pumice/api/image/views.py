"""How images and members look on the wire."""

from datetime import datetime
from typing import Any

from pumice.model.image import Image, ImageMember

_ATTRIBUTES = (
    "id",
    "name",
    "disk_format",
    "container_format",
    "visibility",
    "size",
    "virtual_size",
    "status",
    "checksum",
    "protected",
    "min_ram",
    "min_disk",
    "owner",
    "os_hidden",
    "os_hash_algo",
    "os_hash_value",
    "tags",
)


def image_view(image: Image, *, shows_url: bool = False) -> dict[str, Any]:
    """An image. Its custom properties stand beside its attributes and never in their place.

    ``shows_url``: where it lies is told in both ways of Glance's.
    """
    link = f"/v2/images/{image.id}"
    where: dict[str, Any] = {}
    if shows_url:
        where["locations"] = [{"url": image.location, "metadata": {}}] if image.location else []
        if image.location:
            where["direct_url"] = image.location
    return {
        **image.properties,
        **where,
        **{name: getattr(image, name) for name in _ATTRIBUTES},
        "created_at": _time(image.created_at),
        "updated_at": _time(image.updated_at),
        "self": link,
        "file": f"{link}/file",
        "schema": "/v2/schemas/image",
    }


def member_view(member: ImageMember) -> dict[str, Any]:
    """A project that an image is shared with."""
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": _time(member.created_at),
        "updated_at": _time(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

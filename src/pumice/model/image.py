"""An image, the projects it is shared with, and what a volume remembers of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pumice.model.ids import ImageId
from pumice.model.image_location import RbdLocation
from pumice.model.states import ImageStatus


class Visibility(StrEnum):
    """Who sees an image: its project; also its members; everybody; everybody who knows to ask for it."""

    PRIVATE = "private"
    SHARED = "shared"
    PUBLIC = "public"
    COMMUNITY = "community"


class MemberStatus(StrEnum):
    """What a project says to an image that is shared with it. Only ``accepted`` ones appear in its list."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ImageQuota:
    """The limits of a project's images; -1 is no limit."""

    count: int = -1
    size: int = -1
    """bytes"""


UNLIMITED = ImageQuota()


@dataclass(frozen=True, slots=True)
class Image:
    """A row of ``images``. Sizes are bytes, except ``min_disk`` (GiB) and ``min_ram`` (MiB)."""

    id: ImageId
    owner: str
    name: str | None
    status: ImageStatus
    visibility: Visibility
    disk_format: str | None
    container_format: str | None
    size: int | None
    virtual_size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    min_disk: int
    min_ram: int
    protected: bool
    os_hidden: bool
    tags: Sequence[str]
    properties: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    location: str | None = None
    """The URL of where its bytes lie, if others can find them there (``RbdLocation``)."""


@dataclass(frozen=True, slots=True)
class ImageContent:
    """What is known of an image once its bytes are there."""

    size: int
    virtual_size: int
    checksum: str
    """MD5, in hexadecimal digits."""
    os_hash_value: str
    """SHA-512, in hexadecimal digits."""
    location: RbdLocation | None = None


@dataclass(frozen=True, slots=True)
class ImageMember:
    """A row of ``image_members``: a project that a shared image is shared with."""

    image_id: ImageId
    member_id: str
    status: MemberStatus
    created_at: datetime
    updated_at: datetime

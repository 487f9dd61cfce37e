"""What clients may say about an image, and within which bounds."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr

from pumice.images.inspect import FORMATS
from pumice.model.errors import Forbidden, TooLarge
from pumice.model.image import MemberStatus, Visibility

DISK_FORMATS = sorted(FORMATS)
CONTAINER_FORMATS = ["bare"]
"""Bytes in a container (ova, docker, compressed) would be taken for the disk itself: none is accepted."""

READ_ONLY = frozenset(
    {"created_at", "updated_at", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"}
    | {"self", "file", "schema", "direct_url", "stores"}
)
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at"})
RESERVED_PREFIX = "os_glance"

MOST_TAGS = MOST_PROPERTIES = MOST_MEMBERS = 128
LONGEST_NAME = 255
LARGEST = 2**31 - 1

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _is_id(text: str) -> str:
    if not _UUID.fullmatch(text := text.lower()):
        raise ValueError("It must be a UUID with hyphens")
    return text


def _is_disk_format(text: str) -> str:
    if text not in FORMATS:
        raise ValueError(f"It must be one of {', '.join(DISK_FORMATS)}")
    return text


def _is_container_format(text: str) -> str:
    if text not in CONTAINER_FORMATS:
        raise ValueError(f"It must be one of {', '.join(CONTAINER_FORMATS)}")
    return text


def _each_once(tags: list[str]) -> list[str]:
    if len(tags) > MOST_TAGS:
        raise TooLarge(f"The limit has been exceeded on the number of allowed image tags: {MOST_TAGS}.")
    return sorted(set(tags))


Value = Annotated[StrictStr, Field(max_length=65_535)]
"""The value of a custom property; it may be as long as a volume's metadata of its image."""
Tag = Annotated[StrictStr, Field(max_length=LONGEST_NAME)]
Amount = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]


class Fields(BaseModel):
    """The attributes of an image that clients set, each under its wire name, which is its column's."""

    model_config = ConfigDict(strict=True)

    name: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None
    visibility: Visibility = Field(Visibility.SHARED, strict=False)
    protected: bool = False
    os_hidden: bool = False
    owner: Annotated[str, Field(min_length=1, max_length=36)] | None = None
    disk_format: Annotated[str, AfterValidator(_is_disk_format)] | None = None
    container_format: Annotated[str, AfterValidator(_is_container_format)] | None = None
    min_disk: Amount = 0
    min_ram: Amount = 0
    tags: Annotated[list[Tag], AfterValidator(_each_once)] = Field(default_factory=list)


class NewImage(Fields):
    """The body of a create: the fields, an id of the client's choice, and custom properties beside them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value] = Field(init=False)

    id: Annotated[str, AfterValidator(_is_id)] | None = None

    @property
    def properties(self) -> dict[str, str]:
        """The custom properties of an image: whatever keys a body has beside the known ones."""
        return self.__pydantic_extra__


class Property(BaseModel):
    """The value of one custom property."""

    value: Value


class NewMember(BaseModel):
    """The body of a member's create."""

    member: Annotated[StrictStr, Field(min_length=1, max_length=36)]


class MemberAnswer(BaseModel):
    """The body of a member's update."""

    status: MemberStatus


def require_settable(name: str) -> None:
    """Raises ``Forbidden`` for an attribute that is the service's own to write."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def require_few(properties: dict[str, str]) -> None:
    """Raises ``TooLarge`` for more custom properties than an image may have."""
    if len(properties) > MOST_PROPERTIES:
        raise TooLarge(
            f"The limit has been exceeded on the number of allowed image properties: {MOST_PROPERTIES}."
        )

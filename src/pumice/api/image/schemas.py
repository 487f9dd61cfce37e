"""``/v2/schemas``: the shapes of images and members as JSON schemas, which clients read to learn attributes."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.image.bodies import CONTAINER_FORMATS, DISK_FORMATS, LONGEST_NAME
from pumice.api.policy import ANYBODY, Rule
from pumice.api.routing import Handler, Route
from pumice.model.image import MemberStatus, Visibility
from pumice.model.states import ImageStatus

_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


def _text(description: str, *, null: bool = False, fixed: bool = False, **more: Any) -> dict[str, Any]:
    return _value(["null", "string"] if null else "string", description, fixed=fixed, **more)


def _value(kind: Any, description: str, *, fixed: bool = False, **more: Any) -> dict[str, Any]:
    """``fixed`` attributes are the service's own to write."""
    return {"type": kind, "description": description, **({"readOnly": True} if fixed else {}), **more}


_TIMES = {
    "created_at": _text("When it was made, in UTC", fixed=True),
    "updated_at": _text("When it was last changed, in UTC", fixed=True),
}

_IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": {
        "id": _text("The identifier of the image", pattern=_UUID),
        "name": _text("A name for people", null=True, maxLength=LONGEST_NAME),
        "status": _text("Where the image is in its life", fixed=True, enum=[*ImageStatus]),
        "visibility": _text("Who sees the image", enum=[*Visibility]),
        "protected": _value("boolean", "Whether deleting the image is refused"),
        "os_hidden": _value("boolean", "Whether lists leave the image out unless asked for hidden ones"),
        "checksum": _text("MD5 of the content", null=True, fixed=True, maxLength=32),
        "os_hash_algo": _text("The algorithm of os_hash_value", null=True, fixed=True, maxLength=64),
        "os_hash_value": _text("A secure hash of the content", null=True, fixed=True, maxLength=128),
        "owner": _text("The project that the image belongs to", null=True, maxLength=LONGEST_NAME),
        "size": _value(["null", "integer"], "Bytes of the content", fixed=True),
        "virtual_size": _value(["null", "integer"], "Bytes of the disk inside the content", fixed=True),
        "container_format": _text("What the disk is wrapped in", null=True, enum=[None, *CONTAINER_FORMATS]),
        "disk_format": _text("The format of the disk", null=True, enum=[None, *DISK_FORMATS]),
        "tags": _value("array", "Labels", items={"type": "string", "maxLength": LONGEST_NAME}),
        "min_ram": _value("integer", "Memory that a server of this image needs, in MiB"),
        "min_disk": _value("integer", "Disk that a server of this image needs, in GiB"),
        "self": _text("A link to the image", fixed=True),
        "file": _text("A link to the content", fixed=True),
        "schema": _text("A link to this schema", fixed=True),
        **_TIMES,
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}

_IMAGES = {
    "name": "images",
    "properties": {
        "images": {"type": "array", "items": _IMAGE},
        "first": {"type": "string"},
        "next": {"type": "string"},
        "schema": {"type": "string"},
    },
    "links": [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}

_MEMBER: dict[str, Any] = {
    "name": "member",
    "properties": {
        "member_id": _text("The project that the image is shared with"),
        "image_id": _text("The identifier of the image", pattern=_UUID),
        "status": _text("What the project says to it", enum=[*MemberStatus]),
        "schema": _text("A link to this schema", fixed=True),
        **_TIMES,
    },
}

_MEMBERS = {
    "name": "members",
    "properties": {"members": {"type": "array", "items": _MEMBER}, "schema": {"type": "string"}},
    "links": [{"rel": "describedby", "href": "{schema}"}],
}


def routes() -> list[Route]:
    """The routes of the schemas' documents."""
    documents = (_IMAGE, _IMAGES, _MEMBER, _MEMBERS)
    return [
        Route("GET", f"/v2/schemas/{document['name']}", _showing(document), Rule("get_schemas", ANYBODY))
        for document in documents
    ]


def _showing(document: dict[str, Any]) -> Handler:
    async def show(_: Call) -> Reply:
        return Reply(document)

    return show

"""Updates of an image as a list of JSON patches (api-ref "Update image"; RFC 6902, add, replace and remove)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pumice.api.call import check
from pumice.api.image.bodies import LONGEST_NAME, Fields, Property, require_few, require_settable
from pumice.model.errors import Conflict, Forbidden, Invalid
from pumice.model.image import Image
from pumice.model.states import ImageStatus

MEDIA_TYPE = "application/openstack-images-v2.1-json-patch"
OLDER_MEDIA_TYPE = "application/openstack-images-v2.0-json-patch"
"""The draft of JSON patches that has the operation as a key: ``{"replace": "/name", "value": …}``."""

_OPERATIONS = ("add", "remove", "replace")
_WHILE_QUEUED = ("disk_format", "container_format")


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of one attribute; ``value`` is checked, and None for a removal."""

    operation: str
    name: str
    value: Any


def parse(body: Any, media_type: str) -> list[Patch]:
    """The changes a body asks for. Raises ``Invalid``, or ``Forbidden`` for attributes nobody may set."""
    if not isinstance(body, list):
        raise Invalid("Request body must be a JSON array of operation objects.")
    return [_parse(_renewed(item) if media_type == OLDER_MEDIA_TYPE else item) for item in body]


def location_of(body: Any) -> str | None:
    """The URL of a body that does nothing but add a location, as Glance's clients do; None of all others.

    Raises ``Invalid``.
    """
    match body:
        case [{"op": "add", "path": "/locations/-", "value": value}]:
            if isinstance(value, dict) and isinstance(url := value.get("url"), str):
                return url
            raise Invalid("A location is an object with a member 'url'.")
    return None


def _renewed(item: Any) -> Any:
    """An operation of the older form in the newer."""
    if not isinstance(item, dict):
        return item
    operations = [name for name in _OPERATIONS if name in item]
    if len(operations) != 1:
        raise Invalid(f"Operation objects must contain exactly one member named {', '.join(_OPERATIONS)}.")
    return {
        "op": operations[0],
        "path": item[operations[0]],
        **({"value": item["value"]} if "value" in item else {}),
    }


def _parse(item: Any) -> Patch:
    if not isinstance(item, dict):
        raise Invalid("Operations must be JSON objects.")
    operation = item.get("op")
    if operation not in _OPERATIONS:
        raise Invalid(f"Invalid operation: {operation!r}. It must be one of {', '.join(_OPERATIONS)}.")
    name = _name(item.get("path"))
    if name == "id":
        raise Forbidden("Attribute 'id' is read-only.")
    require_settable(name)
    if operation == "remove":
        return Patch(operation, name, None)
    if "value" not in item:
        raise Invalid(f'Operation "{operation}" requires a member named "value".')
    return Patch(operation, name, _checked(name, item["value"]))


def _name(path: Any) -> str:
    """The attribute that a JSON pointer (RFC 6901) of one part names."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise Invalid(f"Pointer {path!r} is not a text that starts with '/'.")
    name = path[1:]
    if "/" in name or not name.strip():
        raise Invalid(f"Invalid JSON pointer for this resource: '{path}'.")
    if re.search(r"~(?![01])", name):
        raise Invalid(f"Pointer '{path}' contains '~' that is not part of a recognized escape sequence.")
    name = name.replace("~1", "/").replace("~0", "~").strip()
    if len(name) > LONGEST_NAME:
        raise Invalid(f"Custom property should not be greater than {LONGEST_NAME} characters.")
    return name


def _checked(name: str, value: Any) -> Any:
    if name in Fields.model_fields:
        return getattr(check(Fields, {name: value}), name)
    return check(Property, {"value": value}, name).value


def changes(image: Image, patches: Sequence[Patch]) -> dict[str, Any]:
    """The columns that change when the patches are applied in their order, all or none.

    Raises ``Forbidden`` (what must stay) or ``Conflict`` (a property that is not there).
    """
    changed: dict[str, Any] = {}
    properties = dict(image.properties)
    for patch in patches:
        if patch.name in Fields.model_fields:
            if patch.operation == "remove":
                raise Forbidden(f"Property {patch.name} may not be removed.")
            if patch.name in _WHILE_QUEUED and image.status != ImageStatus.QUEUED:
                raise Forbidden(f"Attribute {patch.name} can be only replaced for a queued image.")
            changed[patch.name] = patch.value
        elif patch.operation == "add":
            properties[patch.name] = patch.value
        elif patch.name not in properties:
            raise Conflict(f"Property {patch.name} does not exist.")
        elif patch.operation == "replace":
            properties[patch.name] = patch.value
        else:
            del properties[patch.name]
    if properties != image.properties:
        require_few(properties)
        changed["properties"] = properties
    return changed

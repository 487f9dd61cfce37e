"""The kinds of values that requests hold, with Cinder's and Nova's limits (their ``parameter_types``).

Where the two differ in what they call by one word, Nova's has the server in its name.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    StringConstraints,
    WithJsonSchema,
)

from pumice.api.call import Version
from pumice.model.booleans import FALSE, TRUE, boolean
from pumice.model.connector import Connector
from pumice.model.errors import Invalid
from pumice.model.ids import is_uuid

MOST = 2**31 - 1


class Body(BaseModel):
    """The body of a request, or a part of it: keys that it does not name are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    def only_since(self, version: Version, since: Mapping[str, Version]) -> None:
        """Refuse what came later than the request's version, as if it were not known. Raises ``Invalid``."""
        for name in sorted(self.model_fields_set):
            if version < since.get(name, (0, 0)):
                raise Invalid(f"Additional properties are not allowed ('{name}' was unexpected).")


def whole(value: Any) -> int:
    """A whole number, also as digits in a string. Raises ``ValueError``."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value) if len(value) <= 12 else MOST + 1
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("A text must not contain a NUL character")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("The 'name' can not be empty.")
    return value


def _uuid(value: str) -> str:
    if not is_uuid(value):
        raise ValueError(f"{value[:100]!r} is not a 'uuid'")
    return value


Text = Annotated[str, Field(max_length=255), AfterValidator(_no_nul)]
NotBlank = Annotated[Text, AfterValidator(_not_blank)]
LongText = Annotated[str, Field(max_length=65_535), AfterValidator(_no_nul)]
Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]


def numbers(least: int) -> WithJsonSchema:
    """What is said of a whole number that may be written as digits in a string."""
    digits = {"type": "string", "pattern": "^-?[0-9]+$"}
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": least, "maximum": MOST}, digits]})


Positive = Annotated[int, BeforeValidator(whole), Field(ge=1, le=MOST), numbers(1)]
"""A number of at least 1; also as digits in a string."""
_WORDS = [
    "".join(f"[{it.upper()}{it}]" if it.isalpha() else it for it in word) for word in sorted(TRUE | FALSE)
]
_YES_OR_NO = {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": f"^({'|'.join(_WORDS)})$"}]}
Boolean = Annotated[bool, BeforeValidator(boolean), WithJsonSchema(_YES_OR_NO, mode="validation")]
"""Yes or no; also as one of the words for it."""


# --- Block Storage --------------------------------------------------------------------------------


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Name = Annotated[Text | None, BeforeValidator(_stripped)]
"""A name or a description: without the spaces around it."""
Size = Positive
"""GiB"""
Key = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_:. /-]{1,255}$")]
Metadata = dict[Key, Text]


class Named(Body):
    """What has a name and a description."""

    name: Name = None
    description: Name = None


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("It has non-unique elements")
    return values


Unique = AfterValidator(_unique)
"""Refuses a list in which an element stands twice."""


def _connector(value: Any) -> Connector | None:
    """A connector; None for an empty one, which names nobody."""
    try:
        return Connector.parse(value) if value not in (None, {}) else None
    except Invalid as error:
        raise ValueError(str(error).removeprefix("Invalid input received: ").rstrip(".")) from None


_SAID = {
    "title": "Connector",
    "type": "object",
    "description": "What os-brick says of a host: `initiator` or `nqn`, `host`, `ip`, and more.",
}
Host = Annotated[InstanceOf[Connector], BeforeValidator(_connector), WithJsonSchema(_SAID)]
"""A connector: the host that connects, as os-brick describes it."""
SomeHost = Annotated[
    InstanceOf[Connector] | None,
    BeforeValidator(_connector),
    WithJsonSchema({"anyOf": [_SAID, {"type": "null"}]}),
]
"""A connector, or none."""


# --- Compute --------------------------------------------------------------------------------------

_SERVER_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")


def _printable(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("A name has no spaces around it and only characters that can be printed")
    return value


def tag(value: str) -> str:
    """A tag. Raises ``ValueError``."""
    if not 1 <= len(value) <= 60 or "/" in value or "," in value or "\0" in value:
        raise ValueError("A tag has 1 to 60 characters, and neither '/' nor ',' among them")
    return value


def _server_key(value: str) -> str:
    if not _SERVER_KEY.fullmatch(value):
        raise ValueError("A key has 1 to 255 of the characters a-z, A-Z, 0-9, '-', '_', ':', '.' and space")
    return value


ServerName = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
"""The name of a server, a flavor, a zone or a key pair: spaces around it are refused."""
ServerMetadata = dict[Annotated[str, AfterValidator(_server_key)], Text]
NotNegative = Annotated[int, BeforeValidator(whole), Field(ge=0, le=MOST)]
Tag = Annotated[str, AfterValidator(tag)]

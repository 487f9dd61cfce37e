"""The kinds of values that requests hold, with Cinder's and Nova's limits (their ``parameter_types``)."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from pumice.api.call import Version
from pumice.model.booleans import FALSE, TRUE, boolean
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

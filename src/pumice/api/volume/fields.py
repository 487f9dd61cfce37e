"""The kinds of values that requests hold, with the incumbent's limits (its ``parameter_types``)."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    StringConstraints,
)

from pumice.api.truth import truth
from pumice.model.connector import Connector
from pumice.model.errors import Invalid
from pumice.model.ids import is_uuid

MOST = 2**31 - 1


class Body(BaseModel):
    """What a request may hold, and nothing else."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("A text must not contain a NUL character")
    return value


def _uuid(value: str) -> str:
    if not is_uuid(value):
        raise ValueError(f"{value[:100]!r} is not a 'uuid'")
    return value


def whole(value: Any) -> int:
    """A whole number, also as digits in a string. Raises ``ValueError``."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value) if len(value) <= 12 else MOST + 1
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    return value


Text = Annotated[str, Field(max_length=255), AfterValidator(_no_nul)]
LongText = Annotated[str, Field(max_length=65_535), AfterValidator(_no_nul)]
Name = Annotated[Text | None, BeforeValidator(_stripped)]
"""A name or a description: without the spaces around it."""
Uuid = Annotated[str, AfterValidator(_uuid)]
Size = Annotated[int, BeforeValidator(whole), Field(ge=1, le=MOST)]
"""GiB; also as digits in a string."""


def _connector(value: Any) -> Connector | None:
    """A connector; None for an empty one, which names nobody."""
    try:
        return Connector.parse(value) if value not in (None, {}) else None
    except Invalid as error:
        raise ValueError(str(error).removeprefix("Invalid input received: ").rstrip(".")) from None


Host = Annotated[InstanceOf[Connector], BeforeValidator(_connector)]
"""Who connects."""
SomeHost = Annotated[InstanceOf[Connector] | None, BeforeValidator(_connector)]
"""The same, or nobody."""
Boolean = Annotated[bool, BeforeValidator(truth)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_:. /-]{1,255}$")]
Metadata = dict[Key, Text]

"""The kinds of values that requests of Block Storage hold, beside those of every API."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, InstanceOf, StringConstraints, WithJsonSchema

from pumice.api.fields import Body, Positive, Text
from pumice.model.connector import Connector
from pumice.model.errors import Invalid


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Name = Annotated[Text | None, BeforeValidator(_stripped)]
"""A name or a description: without the spaces around it."""
Size = Positive
"""GiB"""


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

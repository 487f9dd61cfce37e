"""The kinds of values that requests hold, with the incumbent's limits (its ``parameter_types``)."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pumice.api.call import Call, Reply, Version
from pumice.api.routing import Handler
from pumice.api.times import as_utc
from pumice.api.truth import truth
from pumice.model.errors import Invalid
from pumice.model.ids import is_uuid

MOST = 2**31 - 1
EVER = (999, 999)

_WHOLE = re.compile(r"-?[0-9]{1,12}")
_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")


class Body(BaseModel):
    """What a request may hold, and nothing else."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    def only_since(self, version: Version, since: Mapping[str, Version]) -> None:
        """Refuse what came later than the request's version, as if it were not known. Raises ``Invalid``."""
        for name in sorted(self.model_fields_set):
            if version < since.get(name, (0, 0)):
                raise Invalid(f"Additional properties are not allowed ('{name}' was unexpected).")


def only_query(call: Call, *known: str, since: Version = (2, 75)) -> None:
    """Refuse unknown query parameters where the version does. Raises ``Invalid``."""
    unknown = sorted(set(call.query) - set(known))
    if unknown and call.version >= since:
        raise Invalid(f"Additional properties are not allowed ('{unknown[0]}' was unexpected).")


def without_query(handler: Handler) -> Handler:
    """The handler of what takes no query: since 2.102 any is refused."""

    async def refusing(call: Call) -> Reply:
        only_query(call, since=(2, 102))
        return await handler(call)

    return refusing


def whole(value: Any) -> int:
    """A number, also as digits in a string. Raises ``ValueError``."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is not an integer")
    return value


def moment(value: str) -> datetime:
    """A time in a query. Raises ``Invalid``."""
    try:
        return as_utc(value)
    except ValueError:
        raise Invalid(f"Invalid filter field: '{value[:100]}' is not a 'date-time'.") from None


def until(value: str) -> datetime:
    """The same as an end: what is shown in whole seconds is of that whole second. Raises ``Invalid``."""
    end = moment(value)
    return end if end.microsecond else end.replace(microsecond=999_999)


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("A text must not contain a NUL character")
    return value


def _name(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("A name has no spaces around it and only characters that can be printed")
    return value


def _uuid(value: str) -> str:
    if not is_uuid(value):
        raise ValueError(f"{value[:100]!r} is not a 'uuid'")
    return value


def tag(value: str) -> str:
    """A tag. Raises ``ValueError``."""
    if not 1 <= len(value) <= 60 or "/" in value or "," in value or "\0" in value:
        raise ValueError("A tag has 1 to 60 characters, and neither '/' nor ',' among them")
    return value


def _metadata_key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("A key has 1 to 255 of the characters a-z, A-Z, 0-9, '-', '_', ':', '.' and space")
    return value


Text = Annotated[str, Field(max_length=255), AfterValidator(_no_nul)]
LongText = Annotated[str, Field(max_length=65535), AfterValidator(_no_nul)]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_name)]
Uuid = Annotated[str, AfterValidator(_uuid)]
Boolean = Annotated[bool, BeforeValidator(truth)]
Positive = Annotated[int, BeforeValidator(whole), Field(ge=1, le=MOST)]
NotNegative = Annotated[int, BeforeValidator(whole), Field(ge=0, le=MOST)]
Tag = Annotated[str, AfterValidator(tag)]
Metadata = dict[Annotated[str, AfterValidator(_metadata_key)], Text]

"""The kinds of values that requests of Compute hold, beside those of every API; how it refuses queries."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from pumice.api.call import Call, Reply, Version
from pumice.api.fields import MOST, Text, whole
from pumice.api.routing import Handler
from pumice.api.times import as_utc
from pumice.model.errors import Invalid

EVER = (999, 999)

_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")


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


def moment(value: str) -> datetime:
    """A time in a query. Raises ``Invalid``."""
    try:
        return as_utc(value)
    except ValueError:
        raise Invalid(f"Invalid filter field: '{value[:100]}' is not a 'date-time'.") from None


def until(value: str) -> datetime:
    """The end of a span of time: a whole second where it is written in seconds. Raises ``Invalid``."""
    end = moment(value)
    return end if end.microsecond else end.replace(microsecond=999_999)


def _name(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError("A name has no spaces around it and only characters that can be printed")
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


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_name)]
NotNegative = Annotated[int, BeforeValidator(whole), Field(ge=0, le=MOST)]
Tag = Annotated[str, AfterValidator(tag)]
Metadata = dict[Annotated[str, AfterValidator(_metadata_key)], Text]

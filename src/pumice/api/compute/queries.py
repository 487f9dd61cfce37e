"""What the queries of Compute may say, and how one that says more is refused."""

from datetime import datetime

from pumice.api.call import Call, Reply, Version
from pumice.api.routing import Handler
from pumice.api.times import as_utc
from pumice.model.errors import Invalid

EVER = (999, 999)


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

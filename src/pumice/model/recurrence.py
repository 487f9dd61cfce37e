"""When a schedule is due: the five fields of cron (crontab(5)), read in a time zone of the IANA database.

A time that the clocks jump over in spring is due as soon as they have jumped. Of an hour that comes twice in
autumn a time like ``30 2`` is due the first time it comes; ``30 *`` and ``*/30 *``, which say every hour, are
due in both. So nothing that is daily is left out, nor comes twice.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from pumice.model.errors import Invalid

_MOST_REPEATED = 200
"""Steps by which to pass what has been: more than an hour that comes twice has minutes."""


def zone(name: str) -> ZoneInfo:
    """The time zone of this name. Raises ``Invalid``."""
    try:
        return _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last for the name of a folder
        raise Invalid(
            f"There is no time zone '{name[:60]}': name one as IANA does, like Europe/Berlin."
        ) from None


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def normalized(cron: str) -> str:
    """The five fields with one space between them. Raises ``Invalid`` for what is none, or never comes."""
    fields = cron.split()
    if len(fields) != 5:
        raise Invalid(
            f"'{cron[:60]}' is no time of cron: it has five fields, minute, hour, day of the month, month and "
            "day of the week, like '0 3 * * *' for three in the morning."
        )
    text = " ".join(fields)
    try:
        comes = next_after(text, "UTC", datetime(2024, 1, 1)) is not None
    except CronSimError as error:
        raise Invalid(f"'{text[:60]}' is no time of cron: {error}.") from None
    if not comes:
        raise Invalid(f"'{text[:60]}' names a day that never comes.")
    return text


def next_after(cron: str, zone_name: str, at: datetime) -> datetime | None:
    """The first time after ``at`` at which it is due, in UTC without a zone, as ``at`` is; None for never."""
    moment = at.replace(tzinfo=UTC)
    try:
        times = CronSim(cron, moment.astimezone(zone(zone_name)))
        for _ in range(_MOST_REPEATED):
            if (found := next(times).astimezone(UTC)) > moment:
                return found.replace(tzinfo=None)
    except StopIteration:
        return None
    return next_after(cron, zone_name, at + timedelta(hours=1))


def local(at: datetime, zone_name: str) -> datetime:
    """A time in UTC as the clocks of a time zone show it."""
    return at.replace(tzinfo=UTC).astimezone(zone(zone_name))

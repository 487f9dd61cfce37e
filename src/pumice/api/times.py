"""The times that clients write, in bodies and in queries, to every API."""

from datetime import UTC, date, datetime


def as_utc(text: str) -> datetime:
    """A time of ISO 8601 as rows have it: in UTC, which one without a zone is taken for.

    Raises ``ValueError`` for what is no time, or lies beyond the calendar once it is in UTC.
    """
    at = datetime.fromisoformat(text)
    try:
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    except OverflowError:
        raise ValueError(f"{text!r} is beyond the calendar in UTC") from None


def as_day(text: str) -> date:
    """A day of ISO 8601. Raises ``ValueError`` for what is none, or before anything was counted (1970)."""
    day = date.fromisoformat(text)
    if day.year < 1970:
        raise ValueError(f"{text!r} is before 1970")
    return day

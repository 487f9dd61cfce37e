"""What time it is: the database's time, the same for every process and host that shares it.

Leases, deadlines and heartbeats are judged by one host and were written by another, whose clock may be hours
apart. So a process asks its database once a minute what time it is there, and from then on counts by its own
monotonic clock, which nobody sets. With SQLite the database is this host, and so is its time.
"""

import time as host
from datetime import UTC, datetime

ASK_SECONDS = 60.0
"""How often to ask again: two clocks differ by milliseconds after that."""

AGAIN_SECONDS = 2.0
"""Seconds after which to ask again if there was no answer."""


class Clock:
    """A process has one database, and so one clock."""

    def __init__(self) -> None:
        self._ahead: float | None = None
        """Seconds from the monotonic clock to the database's; None for the host's own time of day."""
        self._ask_at = 0.0

    @property
    def is_stale(self) -> bool:
        """Whether the database is to be asked."""
        return host.monotonic() >= self._ask_at

    def is_asked(self) -> None:
        """Somebody asks right now: nobody else needs to."""
        self._ask_at = host.monotonic() + AGAIN_SECONDS

    def set(self, answer: float, asked: float) -> None:
        """The database's answer, in seconds since the epoch, to a question ``asked`` on the monotonic clock."""
        now = host.monotonic()
        self._ahead = answer - (asked + now) / 2
        self._ask_at = now + ASK_SECONDS

    def time(self) -> float:
        """Seconds since the epoch."""
        return host.time() if self._ahead is None else host.monotonic() + self._ahead


CLOCK = Clock()


def time() -> float:
    """Seconds since the epoch, as the database's clock has it."""
    return CLOCK.time()


def now() -> datetime:
    """The present, in UTC without a zone: the way every time is stored. Microseconds."""
    return datetime.fromtimestamp(time(), UTC).replace(tzinfo=None)

"""What is kept of what a schedule has made: so many of the last, and of the last days, weeks and months.

Each rule keeps by itself, and whatever one of them keeps is kept. A day, a week (from Monday, ISO 8601) or a
month in which nothing was made is not counted; of one in which several were, the last is kept. Days begin at
midnight in the schedule's time zone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pumice.model.recurrence import local

Key = TypeVar("Key", bound=str)


@dataclass(frozen=True, slots=True)
class Keep:
    """How many are kept by each rule; where no rule says a number everything is kept."""

    last: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0

    @property
    def is_everything(self) -> bool:
        """Whether no rule says anything."""
        return not (self.last or self.daily or self.weekly or self.monthly)


def kept(made: Mapping[Key, datetime], keep: Keep, zone_name: str) -> set[Key]:
    """What is to be kept of what was made at these times, in UTC without a zone: always the last of all."""
    newest_first = sorted(made, key=lambda key: (made[key], key), reverse=True)
    if keep.is_everything:
        return set(newest_first)
    at = {key: local(made[key], zone_name) for key in newest_first}
    rules: tuple[tuple[int, Callable[[datetime], Any]], ...] = (
        (keep.daily, lambda time: time.date()),
        (keep.weekly, lambda time: time.isocalendar()[:2]),
        (keep.monthly, lambda time: (time.year, time.month)),
    )
    found = set(newest_first[: max(keep.last, 1)])
    for number, period in rules:
        last_of: dict[Any, Key] = {}
        for key in newest_first:
            last_of.setdefault(period(at[key]), key)
        found |= {*list(last_of.values())[:number]}
    return found

"""What a loop that comes every few seconds asks the rows about: never all that a large host has.

Where the outside and the rows have come to differ, one of them has changed. What is outside is listed whole
each time. So a look asks about what changed there since the last one, about what was wrong then, about what
this process has done there meanwhile, and about a sixteenth of all: what changed in the rows alone, as when an
old database was restored, is found within sixteen looks. The first look asks about everything.
"""

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field

from pumice.store.part import DIGITS, Part

MOST = 1_000
"""Where more than so many have changed all are asked about: it costs no more."""

Outside = frozenset[tuple[str, Hashable]]
"""What is outside: each with the id of the volume or snapshot that it is about."""


@dataclass(slots=True)
class Glance:
    """The looks at one place."""

    _there: Outside | None = None
    _setting: Hashable = None
    _wrong: frozenset[str] = frozenset()
    _turn: int = 0

    def part(self, there: Outside, setting: Hashable = None, also: Collection[str] = ()) -> Part | None:
        """What this look is about, these ids too; None is all. With another ``setting`` all may differ."""
        if self._there is None or setting != self._setting:
            return None
        changed = {known for known, _ in there ^ self._there}.union(self._wrong, also)
        return Part(frozenset(changed), DIGITS[self._turn]) if len(changed) <= MOST else None

    def has_seen(self, there: Outside, wrong: Collection[str], setting: Hashable = None) -> None:
        """Remember what was there, and the ids of what was not in order."""
        self._there, self._wrong, self._setting = there, frozenset(wrong), setting
        self._turn = (self._turn + 1) % len(DIGITS)


@dataclass(slots=True)
class Glances:
    """The looks of one loop. New ones have seen nothing: their first look is whole."""

    _at: dict[str, Glance] = field(default_factory=dict)

    def at(self, place: str) -> Glance:
        """The glance at a place."""
        return self._at.setdefault(place, Glance())

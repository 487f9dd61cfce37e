"""Regular expressions that a tenant may send: what matches costs no more than its length times the pattern's.

Characters, ``.``, ``[a-z]`` and ``[^a-z]``, each with ``*``, ``+`` or ``?`` after it, and ``^`` and ``$`` at
the ends. Groups, choices and counted repetitions are left out: with them the time of a match may grow without
an end. PostgreSQL reads what is written so in the same way.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from pumice.model.errors import Invalid

LONGEST = 255
_ONE = re.compile(
    r"(?P<one>\\[^\w\s]|\[\^?(?:(?!--)[\w .:/@-])+\]|[^\\\[\](){}|*+?^$])(?P<times>[*+?]?)", re.ASCII
)
_SPECIAL = frozenset(r"\[](){}|*+?.")


@dataclass(frozen=True, slots=True)
class _Part:
    """What one character may be, and how often it comes."""

    one: re.Pattern[str]
    times: str

    def ends(self, text: str, begins: Set[int]) -> Set[int]:
        """Where it may end in the text, if it begins at one of these places."""
        found = set(begins) if self.times in ("*", "?") else set()
        new = begins
        while new := {at + 1 for at in new if at < len(text) and self.one.match(text, at)} - found:
            found |= new
            if self.times in ("", "?"):
                break
        return found


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that is looked for anywhere in a text, in large letters or small."""

    parts: tuple[_Part, ...]
    at_beginning: bool
    at_end: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``Invalid`` for what is no pattern, or more than is understood here."""
        middle = text.removeprefix("^").removesuffix("$")
        parts: list[_Part] = []
        at = 0
        while at < len(middle) <= LONGEST and (found := _ONE.match(middle, at)):
            parts.append(_Part(_one(found["one"]), found["times"]))
            at = found.end()
        if at < len(middle):
            raise Invalid(
                f"The pattern {text[:LONGEST]!r} is not understood: characters, '.', '[a-z]', each with '*', "
                "'+' or '?', and '^' and '$' at the ends are."
            )
        return cls(tuple(parts), text.startswith("^"), text.endswith("$"))

    def is_in(self, text: str) -> bool:
        """Whether the text has it."""
        places: Set[int] = {0} if self.at_beginning else set(range(len(text) + 1))
        for part in self.parts:
            places = part.ends(text, places)
        return len(text) in places if self.at_end else bool(places)


def is_plain(text: str) -> bool:
    """Whether a pattern, without what binds it to the ends, stands for itself."""
    return _SPECIAL.isdisjoint(text)


@lru_cache(maxsize=16)
def _parsed(pattern: str) -> Pattern:
    return Pattern.parse(pattern)


def matches(pattern: str, text: str | None) -> bool:
    """SQL's ``text REGEXP pattern``, for a pattern that was parsed before."""
    return text is not None and _parsed(pattern).is_in(text)


def _one(written: str) -> re.Pattern[str]:
    try:
        return re.compile(written, re.IGNORECASE | re.DOTALL)
    except re.error as wrong:
        raise Invalid(f"The pattern {written!r} is not understood: {wrong.msg}.") from None

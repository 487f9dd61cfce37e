"""Some of what a host has: what a loop that comes every few seconds reads, where all would be too much.

Ids are random: what begins with one digit is a sixteenth of all. An index has the digit before the pool.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

DIGITS = "0123456789abcdef"
"""What ids begin with."""

_ONE: sa.ColumnElement[int] = sa.literal_column("1")  # as the index has it, not as a parameter


@dataclass(frozen=True, slots=True)
class Part:
    """What has one of these ids, and what has an id that begins with the ``digit``, if there is one."""

    ids: frozenset[str]
    digit: str = ""

    def __contains__(self, known: str) -> bool:
        return known in self.ids or known[:1] == self.digit


def conditions(part: Part | None, key: sa.Column[Any]) -> Iterable[sa.ColumnElement[bool]]:
    """What to ask for, each by itself: one index does not serve two. None is all."""
    if part is None:
        yield sa.true()
        return
    if part.ids:
        yield key.in_(sorted(part.ids))
    if part.digit:
        yield sa.func.substr(key, _ONE, _ONE) == part.digit

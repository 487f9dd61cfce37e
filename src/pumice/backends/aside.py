"""The names of bytes that were put aside: what they were, and since when they wait to be told whose they are.

    orphan-20261125-volume-ID      orphan-20261125-unfinished-snapshot-ID.0a1b2c3d.part

They are manageable, as anything that an administrator puts into a pool: nobody serves them, and they may be
managed by that name. ``loops/orphans.py`` puts them aside, and back when a row asks for them.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, cast

from pumice.backends.contract import Manageable
from pumice.model.ids import is_canonical
from pumice.model.stored import StoredObject

_NAME = re.compile(r"orphan-(\d{8})-(unfinished-)?(volume|snapshot)-([0-9a-f-]{36})(\..*)?")


@dataclass(frozen=True, slots=True)
class Aside:
    """Bytes that were put aside."""

    piece: StoredObject
    name: str
    since: date
    size: int
    """bytes"""


def name_of(piece: StoredObject, today: date | None = None) -> str:
    """The name under which a piece is put aside."""
    day = (today or datetime.now(UTC).date()).strftime("%Y%m%d")
    return f"orphan-{day}-{'' if piece.whole else 'unfinished-'}{piece.kind}-{piece.id}"


def read(found: Manageable, pool: str) -> Aside | None:
    """The bytes that were put aside under the name that was found; None if that is no such name."""
    named = _NAME.fullmatch(found.name)
    if named is None or not is_canonical(named[4]):
        return None
    try:
        since = datetime.strptime(named[1], "%Y%m%d").date()
    except ValueError:
        return None
    kind = cast(Literal["volume", "snapshot"], named[3])
    return Aside(StoredObject(kind, named[4], pool, whole=not named[2]), found.name, since, found.size)

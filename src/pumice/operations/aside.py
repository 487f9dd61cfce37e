"""What a process cannot deal with it leaves alone for a while that doubles; nothing else waits for that."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_SECONDS = 5.0
LONGEST_SECONDS = 300.0


@dataclass(slots=True)
class Aside:
    """Ids of what was put aside, in this process alone: another may know what to do."""

    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Until when each id is left alone, and after which pause."""

    def put(self, key: str) -> float:
        """Leave it alone from now on. For how many seconds."""
        at = self.clock()
        self._kept = {known: kept for known, kept in self._kept.items() if kept[0] > at - 2 * LONGEST_SECONDS}
        before = self._kept.get(key)
        pause = min(before[1] * 2, LONGEST_SECONDS) if before else FIRST_SECONDS
        self._kept[key] = at + pause, pause
        return pause

    def now(self) -> tuple[str, ...]:
        """The places and things that are to be left alone at this moment."""
        at = self.clock()
        return tuple(key for key, (until, _) in self._kept.items() if until > at)

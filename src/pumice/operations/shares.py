"""How a process shares its workers: each place has its own, and there they are shared by kind and by project.

Whoever holds much at a place gets no more for now, and who has little there comes first: a flood never makes
the others wait for its end, nor does one that hangs.
"""

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from pumice.operations.aside import Aside
from pumice.operations.leases import Leases
from pumice.operations.operation import Operation
from pumice.store import operations as log
from pumice.store import work_queue

CROWD = 3
"""A kind that holds more than this many times a place's free workers gets no more: some are left for others."""


class Shares:
    """Each place has as many ``workers``; who holds them is in ``leases``."""

    def __init__(self, leases: Leases, workers: int) -> None:
        self.leases = leases
        self.workers = workers
        self.aside = Aside()
        """Operations that this process cannot carry on."""
        self._choosing = threading.Lock()
        """Held while workers are counted and given away, which transactions do in threads of their own."""
        self._promised = Counter[str]()
        """Workers of each place for which a look is just claiming something."""
        self._crowded = set[str]()
        """The places where something was left alone at the last look, until another has ended."""

    def free(self, place: str) -> int:
        """How many workers of a place have nothing to do."""
        busy = sum(it.is_busy for it in self.leases.at(place))
        return self.workers - busy - self._promised[place]

    def whole(self, places: Collection[str]) -> work_queue.Asked:
        """All that these places could do."""
        return work_queue.Asked(places, self.leases.owner, in_hand=self._not_these())

    def promise(self, places: Collection[str]) -> list[tuple[work_queue.Asked, int]]:
        """What to claim at each place, and up to how many; its workers are promised to them until ``take``."""
        with self._choosing:
            shares = {place: (self._of(place), -(-self.free(place) // (CROWD + 1))) for place in places}
            self._promised.update({place: most for place, (_, most) in shares.items()})
            if places:
                self._crowded = {
                    place
                    for place, (asked, most) in shares.items()
                    if most > 0 and (asked.kinds or asked.projects)
                }
        return [(asked, most) for asked, most in shares.values() if most > 0]

    def take(self, rows: Iterable[log.Row], asked: float) -> None:
        """Keep what was promised: these were claimed, for which was asked then on the monotonic clock."""
        with self._choosing:
            for row in rows:
                self.leases.take(row, asked)
            self._promised.clear()

    def move(self, op: Operation[Any]) -> bool:
        """Give an operation in hand a worker of the place that it has come to, if it may have one at once."""
        with self._choosing:
            asked = self._of(op.place)
            if op.kind in asked.kinds or op.project_id in asked.projects or self.free(op.place) <= 0:
                self._crowded.add(op.place)
                return False
            self.leases.held[op.id].place = op.place
            return True

    def has_room_again(self, place: str) -> bool:
        """Whether something may have waited for the worker that has just become free there."""
        return place in self._crowded or self.free(place) == 1

    def _of(self, place: str) -> work_queue.Asked:
        """What is wanted of a place."""
        held, free = self.leases.at(place), self.free(place)
        kinds, projects = Counter(it.kind for it in held), Counter(it.project for it in held if it.project)
        here = projects - Counter(it.project for it in held if it.is_away)
        return work_queue.Asked(
            [place],
            self.leases.owner,
            kinds=[kind for kind, number in kinds.items() if number > CROWD * free],
            projects=[project for project, number in here.items() if number > free],
            busy=_busy(projects),
            busy_kinds=_busy(kinds),
            in_hand=self._not_these(),
        )

    def _not_these(self) -> tuple[str, ...]:
        """Operations that are not wanted: those in hand, and those that were put aside."""
        return (*self.leases.held, *self.aside.now())


def _busy(held: Counter[str]) -> list[str]:
    """The projects, or kinds, that hold at least an even share of all that is held."""
    return [who for who, number in held.items() if number * len(held) >= held.total()]

"""What is not as it should be: one sentence, and what puts it right. All repair is made of these.

Rows are the wish, the outside is the state. Each *check* (a function of a module beside this one) compares the
two for the drivers of this process and returns violations. A ``Repair`` looks again and again and repairs what
lasts; ``pumice audit`` runs every check once. A check changes nothing, needs no memory, and may run anywhere at
any time. (One that comes every few seconds may remember what it has seen, so as not to ask about all again:
``glance.py``.)

The order in which a check reads is what makes it safe beside running operations. Whatever is made outside has
its row first and loses it last. So a check for what belongs to nobody reads *the outside, then the rows*: what
was made meanwhile has a row. And what an operation under way is about is never touched, whoever carries it.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from pumice.model.errors import PumiceError
from pumice.operations.drivers import Drivers
from pumice.store.database import Transaction

logger = structlog.get_logger(__name__)

GRACE_SECONDS = 300.0

Fix = Callable[[], Awaitable[str | None]]
"""Puts it right and says what it did; None when there is nothing to do: the check was old by then."""
CAME_RIGHT = "it has come right by itself"


@dataclass(frozen=True, slots=True)
class Violation:
    """A thing that is not as it should be. Two violations with the same words are the same."""

    words: str
    fix: Fix | None = field(default=None, compare=False)
    """Puts it right, and says how; None where only a person can."""
    waits: bool = True
    """Whether a loop lets it last before it acts; else it is repaired as soon as it is seen."""
    is_lost: bool = False
    """Whether bytes that somebody was promised are not there: that is told before all else."""


@dataclass(slots=True)
class Repair:
    """Repairs what one check finds, once it has lasted for ``grace`` seconds."""

    check: Callable[[Drivers], Awaitable[list[Violation]]]
    drivers: Drivers
    grace: float = GRACE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _since: dict[Violation, float] = field(default_factory=dict)
    _told: set[Violation] = field(default_factory=set)

    async def run(self) -> None:
        """Look once, and repair what has lasted."""
        found = await self.check(self.drivers)
        now = self.clock()
        self._since = {violation: self._since.get(violation, now) for violation in found}
        self._told &= self._since.keys()
        for violation in found:
            if violation.waits and now - self._since[violation] < self.grace:
                continue
            if violation.fix is not None:
                await repaired(violation, violation.fix)
            elif violation not in self._told:
                self._told.add(violation)
                logger.error("violation.found", violation=violation.words)


async def repaired(violation: Violation, fix: Fix) -> str:
    """Repair it; what was done, or why it could not be. One that cannot be repaired keeps no other from it."""
    try:
        done = await fix()
    except PumiceError as error:
        logger.warning("violation.stays", violation=violation.words, error=error.in_full)
        return f"not repaired: {error.in_full}"
    except Exception as bug:  # a repair's bug must not keep the others from theirs, check after check
        logger.exception("violation.bug", violation=violation.words)
        return f"not repaired: {type(bug).__name__}: {bug}"
    if done is None:
        logger.debug("violation.gone", violation=violation.words)
        return CAME_RIGHT
    logger.warning("violation.repaired", violation=violation.words, done=done)
    return done


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something outside that belongs to nobody any more: this installation knows that it has let go of it."""

    kind: str
    id: str
    place: str
    why: str
    is_orphan: Callable[[Transaction], bool] = field(compare=False)
    remove: Callable[[], Awaitable[None]] = field(compare=False)

    def violation(self, drivers: Drivers) -> Violation:
        """The sentence, and the removal."""

        async def fix() -> str | None:
            if not await drivers.db.read(self.is_orphan):
                return None
            await self.remove()
            logger.warning("orphan.removed", kind=self.kind, id=self.id, place=self.place, why=self.why)
            return "removed"

        return Violation(f"{self.kind} {self.id} on {self.place} is an orphan: {self.why}", fix)


def unknown(kind: str, id: str, place: str, fix: Fix | None = None) -> Violation:  # noqa: A002 - an id's name
    """Something outside of which this installation knows nothing: it is told, and never removed."""
    return Violation(f"{kind} {id} on {place} is unknown: nothing here says whose it is or was", fix)

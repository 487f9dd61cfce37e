"""What is not as it should be: one sentence, and what puts it right. All repair is made of these.

Rows are the wish, the outside is the state. Each *look* (a function of a module beside this one) compares the
two for the drivers of this process and returns breaches. A ``Repair`` looks again and again and mends what
lasts; ``pumice audit`` runs every look once. A look changes nothing, needs no memory, and may run anywhere at
any time.

The order in which a look reads is what makes it safe beside running operations. Whatever is made outside has
its row first and loses it last. So a look for what belongs to nobody reads *the outside, then the rows*: what
was made meanwhile has a row. And what an operation under way is about is never touched, whoever carries it.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from pumice.model.errors import PumiceError
from pumice.operations.hands import Hands
from pumice.store.database import Transaction

logger = structlog.get_logger(__name__)

GRACE_SECONDS = 300.0

Mend = Callable[[], Awaitable[str | None]]
"""Puts it right and says what it did; None when there is nothing to do: the look was old by then."""
CAME_RIGHT = "it has come right by itself"


@dataclass(frozen=True, slots=True)
class Breach:
    """One thing that is not as it should be. Two with the same words are the same."""

    words: str
    mend: Mend | None = field(default=None, compare=False)
    """None: only a person can."""
    waits: bool = True
    """Whether a loop lets it last before it acts; else it is mended as soon as it is seen."""
    is_lost: bool = False
    """Whether bytes that somebody was promised are not there: that is told before all else."""


@dataclass(slots=True)
class Repair:
    """Mends what one look finds, once it has lasted for ``grace`` seconds."""

    look: Callable[[Hands], Awaitable[list[Breach]]]
    hands: Hands
    grace: float = GRACE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _since: dict[Breach, float] = field(default_factory=dict)
    _told: set[Breach] = field(default_factory=set)

    async def run(self) -> None:
        """Look once, and mend what has lasted."""
        found = await self.look(self.hands)
        now = self.clock()
        self._since = {breach: self._since.get(breach, now) for breach in found}
        self._told &= self._since.keys()
        for breach in found:
            if breach.waits and now - self._since[breach] < self.grace:
                continue
            if breach.mend is not None:
                await mended(breach, breach.mend)
            elif breach not in self._told:
                self._told.add(breach)
                logger.error("breach.found", breach=breach.words)


async def mended(breach: Breach, mend: Mend) -> str:
    """Mend it; what was done, or why it could not be. One that cannot be mended keeps no other from it."""
    try:
        done = await mend()
    except PumiceError as error:
        logger.warning("breach.stays", breach=breach.words, error=str(error))
        return f"not mended: {error}"
    except Exception as bug:  # a mend's bug must not keep the others from theirs, look after look
        logger.exception("breach.bug", breach=breach.words)
        return f"not mended: {type(bug).__name__}: {bug}"
    if done is None:
        logger.debug("breach.gone", breach=breach.words)
        return CAME_RIGHT
    logger.warning("breach.mended", breach=breach.words, done=done)
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

    def breach(self, hands: Hands) -> Breach:
        """The sentence, and the removal."""

        async def mend() -> str | None:
            if not await hands.db.read(self.is_orphan):
                return None
            await self.remove()
            logger.warning("orphan.removed", kind=self.kind, id=self.id, place=self.place, why=self.why)
            return "removed"

        return Breach(f"{self.kind} {self.id} on {self.place} is an orphan: {self.why}", mend)


def unknown(kind: str, id: str, place: str, mend: Mend | None = None) -> Breach:  # noqa: A002 - an id's name
    """Something outside of which this installation knows nothing: it is told, and never removed."""
    return Breach(f"{kind} {id} on {place} is unknown: nothing here says whose it is or was", mend)

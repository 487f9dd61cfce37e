"""The invariants: what must be true whenever nothing is under way. Everything that the loops of repair look at.

What a loop does after a while, ``repair`` does at once, and again until nothing is left that can be mended: one
repair uncovers another.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pumice.loops import abandoned, exports, hosts, machines, orphans, rows, stored
from pumice.loops.breach import Breach, mended
from pumice.operations.hands import Hands

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Look:
    """One way to look for breaches, and how often a loop does."""

    name: str
    at: Callable[[Hands], Awaitable[list[Breach]]]
    seconds: float


ROWS = Look("rows", rows.look, rows.SECONDS)
HOSTS = Look("hosts", hosts.look, hosts.SILENT.total_seconds())
SHARED = (ROWS, HOSTS, Look("abandoned", abandoned.look, abandoned.SECONDS))
"""The looks at what every process sees alike: one process is enough."""
EXPORTS = Look("exports", exports.look, exports.SECONDS)
OUTSIDE = (
    EXPORTS,
    Look("power", machines.look_at_power, machines.POWER_SECONDS),
    Look("disks", machines.look_at_disks, machines.DISK_SECONDS),
    Look("orphans", orphans.look, orphans.SECONDS),
    Look("backups", stored.look, stored.SECONDS),
)
"""The looks at what this process has drivers for."""


async def find(hands: Hands) -> list[Breach]:
    """Every invariant that does not hold at this moment; missing bytes first."""
    found = [breach for look in (*SHARED, *OUTSIDE) for breach in await look.at(hands)]
    return sorted(dict.fromkeys(found), key=lambda breach: not breach.is_lost)


async def breaches(hands: Hands) -> list[str]:
    """The sentences of every invariant that does not hold at this moment; missing bytes first."""
    return [breach.words for breach in await find(hands)]


async def repair(hands: Hands, tell: Callable[[str], None]) -> list[Breach]:
    """Mend what can be mended, telling each breach and what was done. What is left."""
    tried = set[Breach]()
    for _ in range(ROUNDS):
        found = await find(hands)
        new = [breach for breach in found if breach not in tried]
        for breach in new:
            tried.add(breach)
            done = await mended(breach, breach.mend) if breach.mend else "only a person can mend it"
            tell(f"{breach.words}: {done}")
        if not new:
            return found
    return await find(hands)

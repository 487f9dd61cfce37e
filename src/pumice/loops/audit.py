"""The invariants: what must be true whenever nothing is under way. Everything that the loops of repair look at.

What a loop does after a while, ``repair`` does at once, and again until nothing is left that it can: one repair
uncovers another.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pumice.loops import abandoned, exports, hosts, images, machines, orphans, rows, stored
from pumice.loops.glance import Glances
from pumice.loops.violation import Violation, repaired
from pumice.operations.drivers import Drivers

ROUNDS = 5

Look = Callable[[Drivers], Awaitable[list[Violation]]]


@dataclass(frozen=True, slots=True)
class Check:
    """A way to look for violations, and how often a loop does."""

    name: str
    at: Look
    seconds: float
    glancing: Callable[[Drivers, Glances], Awaitable[list[Violation]]] | None = None
    """How a loop looks that does not ask about everything each time."""

    def in_a_loop(self) -> Look:
        """The look of one loop, which may remember what it saw."""
        look, glances = self.glancing, Glances()
        return self.at if look is None else lambda drivers: look(drivers, glances)


ROWS = Check("rows", rows.check, rows.SECONDS)
HOSTS = Check("hosts", hosts.check, hosts.SILENT.total_seconds())
SHARED = (ROWS, HOSTS, Check("abandoned", abandoned.check, abandoned.SECONDS))
"""The looks at what every process sees alike: one process is enough."""
EXPORTS = Check("exports", exports.check, exports.SECONDS, exports.check)
ORPHANS = Check("orphans", orphans.check, orphans.SECONDS, orphans.check)
OUTSIDE = (
    EXPORTS,
    Check("power", machines.check_power, machines.POWER_SECONDS),
    Check("disks", machines.check_disks, machines.DISK_SECONDS),
    ORPHANS,
    Check("backups", stored.check, stored.SECONDS),
    Check("images", images.check, images.SECONDS),
)
"""The looks at what this process has drivers for."""


async def find(drivers: Drivers) -> list[Violation]:
    """Every invariant that does not hold at this moment; missing bytes first."""
    found = [violation for check in SHARED for violation in await check.at(drivers)]
    for check in OUTSIDE:
        found += await _lasting(check, drivers)
    return sorted(dict.fromkeys(found), key=lambda violation: not violation.is_lost)


async def _lasting(check: Check, drivers: Drivers) -> list[Violation]:
    """What a check finds twice in a row.

    It sees the outside a moment before the rows. Whatever an operation has removed in between, with its row,
    looks like an orphan then; and nobody waits here whether that lasts, as the loops do.
    """
    before = await check.at(drivers)
    found = before
    for _ in range(ROUNDS):
        if not found:
            break
        before, found = found, await check.at(drivers)
        if set(found) <= set(before):
            break
    return [violation for violation in found if violation in before]


async def violations(drivers: Drivers) -> list[str]:
    """The sentences of every invariant that does not hold at this moment; missing bytes first."""
    return [violation.words for violation in await find(drivers)]


async def repair(drivers: Drivers, tell: Callable[[str], None]) -> list[Violation]:
    """Repair what can be repaired, telling each violation and what was done. What is left."""
    tried = set[Violation]()
    for _ in range(ROUNDS):
        found = await find(drivers)
        new = [violation for violation in found if violation not in tried]
        for violation in new:
            tried.add(violation)
            done = await repaired(violation, violation.fix) if violation.fix else "only a person can repair it"
            tell(f"{violation.words}: {done}")
        if not new:
            return found
    return await find(drivers)

"""``pumice audit``: every invariant that does not hold at this moment, in words; ``--repair`` puts it right.

It works beside a Pumice that serves, by the same transactions as its loops. What it cannot do itself it begins
as an operation, for whoever serves the place to carry out. It makes nothing and starts nothing: outside it sees
what this host has drivers for, where their daemons run, and it names every place at which it could not look. On
a cloud of many hosts it is run on each. The exit code tells of violations alone.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

from pumice.app import driver_setup, logs, running
from pumice.app.database import existing
from pumice.app.driver_setup import OpenDrivers
from pumice.app.settings import Settings
from pumice.app.terminal import print_json
from pumice.backends.aside import Aside
from pumice.loops import audit, heartbeats, orphans
from pumice.model.errors import Invalid, PumiceError
from pumice.operations.drivers import Drivers
from pumice.store import hosts, services
from pumice.store.database import Database


@dataclass(slots=True)
class Found:
    """What an audit tells, each in one sentence."""

    repaired: list[str] = field(default_factory=list)
    """Violations, and what was done about each; none without ``--repair``."""
    violations: list[str] = field(default_factory=list)
    """The violations that are left."""
    put_aside: list[str] = field(default_factory=list)
    not_looked_at: list[str] = field(default_factory=list)


def _not_told(_line: str) -> None:
    pass


def run(settings: Settings, *, repair: bool = False, as_json: bool = False) -> int:
    """Print each violation, and what was done about it. The exit code is 1 when there is one left."""
    logs.set_up(settings)
    found = running.run(_from_here(settings, repair=repair, tell=_not_told if as_json else print))
    if as_json:
        print_json(asdict(found))
    else:
        _print(found, "left: " if repair else "")
    return 1 if found.violations else 0


def _print(found: Found, prefix: str) -> None:
    for violation in found.violations:
        print(prefix + violation)
    for line in (*found.put_aside, *found.not_looked_at):
        print(line)
    if found.violations:
        print(f"{len(found.violations)} violations")
    else:
        print(f"{'What was looked at' if found.not_looked_at else 'Everything'} is as it should be.")


async def _from_here(settings: Settings, *, repair: bool, tell: Callable[[str], None]) -> Found:
    async with existing(settings) as db:
        known = {host.name for host in await db.read(hosts.every) if host.forgotten_at is None}
        if settings.host not in known:
            raise Invalid(
                f"The database knows no host '{settings.host}', but {', '.join(sorted(known)) or 'none'}. Say "
                "which this is: --host NAME."
            )
        driven = driver_setup.build(settings, db, settings.images.open(settings.state_dir.absolute()))
        return await look(driven, repair=repair, tell=tell)


async def look(driven: OpenDrivers, *, repair: bool = False, tell: Callable[[str], None] = _not_told) -> Found:
    """Look at the rows and at all that there are drivers for; with ``repair`` put right what can be.

    ``tell`` is given each violation as soon as something was done about it.
    """
    found = Found()
    drivers, asleep = _awake(driven)

    def keep(line: str) -> None:
        found.repaired.append(line)
        tell(line)

    left = await (audit.repair(drivers, keep) if repair else audit.find(drivers))
    found.violations = [violation.words for violation in left]
    found.put_aside = await _put_aside(drivers)
    found.not_looked_at = [*asleep, *await _elsewhere(drivers.db, driven.drivers)]
    return found


def _awake(driven: OpenDrivers) -> tuple[Drivers, list[str]]:
    """The drivers whose daemons run, as asking the others would start them; and a line for each of those."""
    drivers, asleep = driven.drivers, []
    for daemon in driven.daemons:
        if daemon.pid() is not None:
            continue
        if daemon.of_target:
            targets = {place: it for place, it in drivers.targets.items() if it.driver != daemon.of_target}
            asleep += [
                f"not looked at: exports of {it} ({daemon.name} does not run)"
                for it in drivers.targets
                if it not in targets
            ]
            drivers = replace(drivers, targets=targets)
        else:
            asleep += [
                f"not looked at: machines of {host} ({daemon.name} does not run)"
                for host in drivers.hypervisors
            ]
            drivers = replace(drivers, hypervisors={})
    return drivers, asleep


async def _elsewhere(db: Database, drivers: Drivers) -> list[str]:
    """The places that the database knows and this host has no drivers for."""
    rows = await db.read(services.every)
    here = {heartbeats.VOLUME: drivers.backends, heartbeats.COMPUTE: drivers.hypervisors}
    missing = [
        row["host"]
        for row in rows
        if row["binary"] in here
        and row["host"] not in here[row["binary"]]
        and row["cluster"] not in drivers.backends
    ]
    return [f"not looked at: {place} (run 'pumice audit' on its host)" for place in sorted(missing)]


async def _put_aside(drivers: Drivers) -> list[str]:
    lines = []
    for place, backend in drivers.backends.items():
        try:
            found = await orphans.put_aside(backend)
        except PumiceError:  # told already
            continue
        lines += [_line(place, it) for it in found]
    return lines


def _line(place: str, kept: Aside) -> str:
    piece = kept.piece
    return f"put aside on {kept.since}: {piece.kind} {piece.id} on {place}#{piece.pool}, as {kept.name}"

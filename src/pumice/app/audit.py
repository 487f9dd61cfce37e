"""``pumice audit``: every invariant that does not hold at this moment, in words; ``--repair`` puts it right.

It works beside a Pumice that serves, by the same transactions as its loops. What it cannot do itself it begins
as an operation, for whoever serves the place to carry out. It makes nothing and starts nothing: outside it sees
what this host has drivers for, where their daemons run, and it names every place at which it could not look. On
a cloud of many hosts it is run on each. The exit code tells of violations alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pumice.app import driver_setup, logs
from pumice.app.database import existing
from pumice.app.driver_setup import OpenDrivers
from pumice.app.settings import Settings
from pumice.backends.targets.tgtd import TgtDaemon
from pumice.images.files import ImageFiles
from pumice.loops import audit, heartbeats, orphans
from pumice.loops.aside import Aside
from pumice.model.errors import Invalid, PumiceError
from pumice.operations.drivers import Drivers
from pumice.store import hosts, services
from pumice.store.database import Database

Work = Callable[[Drivers], Awaitable[list[str]]]


def run(settings: Settings, *, repair: bool = False) -> int:
    """Print each violation, and what was done about it. The exit code is 1 when there is one left."""
    logs.set_up(settings)
    left, aside, not_seen = asyncio.run(_look(settings, _repair if repair else audit.violations))
    for violation in left:
        print(f"left: {violation}" if repair else violation)
    for line in (*aside, *not_seen):
        print(line)
    if left:
        print(f"{len(left)} violations")
    else:
        print("What was looked at is as it should be." if not_seen else "Everything is as it should be.")
    return 1 if left else 0


async def _repair(drivers: Drivers) -> list[str]:
    return [violation.words for violation in await audit.repair(drivers, print)]


async def _look(settings: Settings, work: Work) -> tuple[list[str], list[str], list[str]]:
    """Breaches, what was put aside, and where nobody looked."""
    async with existing(settings) as db:
        known = {host.name for host in await db.read(hosts.every) if host.forgotten_at is None}
        if settings.host not in known:
            raise Invalid(
                f"The database knows no host '{settings.host}', but {', '.join(sorted(known)) or 'none'}. Say "
                "which this is: --host NAME."
            )
        driven = driver_setup.build(settings, db, ImageFiles(settings.state_dir.absolute() / "images"))
        drivers, asleep = _awake(driven)
        found = await work(drivers)
        return found, await _put_aside(drivers), [*asleep, *await _elsewhere(db, driven.drivers)]


def _awake(driven: OpenDrivers) -> tuple[Drivers, list[str]]:
    """The drivers whose daemons run, as asking the others would start them; and a line for each of those."""
    drivers, asleep = driven.drivers, []
    for daemon in driven.daemons:
        if daemon.pid() is not None:
            continue
        if isinstance(daemon, TgtDaemon):
            targets = {place: it for place, it in drivers.targets.items() if it.driver != "tgt"}
            asleep += [
                f"not looked at: exports of {it} (tgtd does not run)"
                for it in drivers.targets
                if it not in targets
            ]
            drivers = replace(drivers, targets=targets)
        else:
            asleep += [
                f"not looked at: machines of {host} (libvirtd does not run)" for host in drivers.hypervisors
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

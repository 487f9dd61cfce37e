"""Whether a process can do its work, looked at from inside; and the page that tells.

    database   answers a small read in bounded time
    name       nobody else has taken it meanwhile
    runner     its loop came round recently, so that it would see new work
    disk       the state directory's has room for something new
    services   this process's drivers answered and their heartbeat was written recently

All but the last must be well. Of the services one is enough: a volume host whose hypervisor is missing still
serves volumes. A process that is only an API has neither runner nor services.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from pumice import __version__
from pumice.app.node import Node
from pumice.app.roles import Role
from pumice.loops.heartbeats import COMPUTE, SCHEDULER, VOLUME
from pumice.model.errors import PumiceError
from pumice.store import services
from pumice.store.columns import now

ANSWER_SECONDS = 1.0
"""How long the database may take. Who asks for health wants an answer, also while the database is away."""
ROUND_SECONDS = 60.0
"""How old the runner's last round may be: a claim that waits for a database that is away takes 20 s."""


@dataclass(frozen=True, slots=True)
class Health:
    """The findings about an installation's health."""

    well: bool
    parts: dict[str, Any]


def is_alive(node: Node) -> bool:
    """Whether the process does what it does, without asking the database: what a watchdog wants to know."""
    return node.roles == {Role.API} or time.monotonic() - node.runner.alive_at < ROUND_SECONDS


async def look(node: Node) -> Health:
    """Look at every part of this process."""
    began = time.monotonic()
    problem, heartbeats = None, dict[str, float | None]()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            heartbeats = await _heartbeats(node)
        problem = node.db.hangs()
    except TimeoutError:
        problem = f"It does not answer within {ANSWER_SECONDS:g} s."
    except PumiceError as error:
        problem = error.in_full
    up = node.ctx.tunables.service_down_seconds
    fresh = {name: age is not None and age < up for name, age in heartbeats.items()}
    starting = time.monotonic() - node.began < up
    well = {
        "database": problem is None,
        "name": not node.lost.is_set(),
        "runner": is_alive(node),
        "disk": not node.reserve.low,
        "services": starting or problem is not None or not fresh or any(fresh.values()),
    }
    parts: dict[str, Any] = {
        "status": "ok" if all(well.values()) else "unwell",
        "unwell": [part for part, is_well in well.items() if not is_well],
        "version": __version__,
        "host": node.settings.host,
        "roles": sorted(node.roles),
        "database": {"well": problem is None, "seconds": round(time.monotonic() - began, 4), "error": problem},
        "name": {"well": well["name"], "held": node.runner.host},
    }
    if node.roles != {Role.API}:
        since = round(time.monotonic() - node.runner.alive_at, 1)
        parts["runner"] = {"well": well["runner"], "seconds_since": since, "in_hand": node.runner.taken}
        parts["services"] = {
            name: {"well": fresh[name], "seconds_since": None if age is None else round(age, 1)}
            for name, age in heartbeats.items()
        }
    return Health(all(well.values()), parts)


async def _heartbeats(node: Node) -> dict[str, float | None]:
    """Seconds since the last heartbeat of each service of this process; None for one that never had any."""
    host = node.settings.host
    mine = [(VOLUME, f"{host}@{place.partition('@')[2]}") for place in node.drivers.backends]
    mine += [(COMPUTE, where) for where in node.drivers.hypervisors]
    mine += [(SCHEDULER, host)] if Role.SCHEDULER in node.roles else []
    rows = {(row["binary"], row["host"]): row["updated_at"] for row in await node.db.read(services.every)}
    at = now()
    return {
        f"{binary} {where}": (at - rows[binary, where]).total_seconds() if (binary, where) in rows else None
        for binary, where in mine
    }

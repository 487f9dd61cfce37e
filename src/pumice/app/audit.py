"""``pumice audit``: every invariant that does not hold at this moment, in words; and with ``--repair`` mended.

It works beside a Pumice that serves, by the same transactions as its loops. What it cannot do itself it begins
as an operation, for whoever serves the place to carry out. Outside it sees what this host has drivers for; on
a cloud of many hosts it is run on each.
"""

import asyncio
from collections.abc import Awaitable, Callable

from pumice.app import drivers, logs
from pumice.app.settings import Settings
from pumice.images.files import ImageFiles
from pumice.loops import audit
from pumice.operations.hands import Hands
from pumice.store.database import open_database


def run(settings: Settings, *, repair: bool = False) -> int:
    """Print each breach, and what was done about it. The exit code is 1 when there is one left."""
    logs.set_up(settings)
    left = asyncio.run(_with_hands(settings, _repair if repair else audit.breaches))
    for breach in left:
        print(f"left: {breach}" if repair else breach)
    print(f"{len(left)} breaches" if left else "Everything is as it should be.")
    return 1 if left else 0


async def _repair(hands: Hands) -> list[str]:
    return [breach.words for breach in await audit.repair(hands, print)]


async def _with_hands(settings: Settings, work: Callable[[Hands], Awaitable[list[str]]]) -> list[str]:
    db = open_database(settings.database())
    try:
        driven = drivers.build(settings, db, ImageFiles(settings.state_dir.absolute() / "images"))
        down = [daemon for daemon in driven.daemons if daemon.pid() is None]
        found = await work(driven.hands)
        await drivers.stop_daemons(down, force=False)  # asking starts them
        return found
    finally:
        await db.close()

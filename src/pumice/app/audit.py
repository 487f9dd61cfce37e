"""``pumice audit``: every invariant that does not hold at this moment, in words."""

import asyncio

from pumice.app import drivers, logs
from pumice.app.settings import Settings
from pumice.images.files import ImageFiles
from pumice.loops.audit import breaches
from pumice.store.database import open_database


def run(settings: Settings) -> int:
    """Print each breach; the exit code is 1 when there is one. Looks only, beside a Pumice that serves."""
    logs.set_up(settings)
    found = asyncio.run(_look(settings))
    for breach in found:
        print(breach)
    print(f"{len(found)} breaches" if found else "Everything is as it should be.")
    return 1 if found else 0


async def _look(settings: Settings) -> list[str]:
    db = open_database(settings.database())
    try:
        driven = drivers.build(settings, db, ImageFiles(settings.state_dir.absolute() / "images"))
        down = [daemon for daemon in driven.daemons if daemon.pid() is None]
        found = await breaches(driven.hands)
        await drivers.stop_daemons(down, force=False)  # asking starts them
        return found
    finally:
        await db.close()

"""``pumice db status``: what an upgrade would do to the database, and who lives with it meanwhile."""

import asyncio

from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, table, waiting_is_told
from pumice.store import schema
from pumice.store.database import shown
from pumice.store.open import open_database


def print_status(settings: Settings) -> None:
    """Print its version, the migrations that it lacks, and the processes that are connected.

    Raises ``Misconfigured`` when there is no database, or ``Retryable`` when it does not answer.
    """
    url = settings.database()
    with waiting_is_told(f"Waiting for {shown(url)} …"):
        found, living = asyncio.run(_look(url))
    print(f"{shown(url)}: schema {found or 'none yet'}; this version's is {schema.HEAD}")
    if schema.is_newer(found):
        print("A newer version has upgraded it: go on with the upgrade there.")
        return
    if missing := schema.pending(found):
        rows = table("schema", "what", "about")
        for it in missing:
            rows.add_row(it.version, "takes away" if it.takes_away else "adds", it.about)
        console().print(rows)
        print("'pumice db upgrade' brings it up to date; processes of the version before go on meanwhile.")
    older = schema.older(living)
    for name in living:
        console().print(plain(f"{name}{'  (of another version)' if name in older else ''}"))
    if older:
        print(f"{len(older)} processes of another version are at work: restart them as this version.")


async def _look(url: str) -> tuple[str | None, list[str]]:
    if not schema.may_be_there(url):
        return None, []
    db = open_database(url, timeout=schema.LOOK_SECONDS)
    try:
        return await db.read(schema.version), await db.read(schema.living)
    finally:
        await db.close()

"""The database as commands find it: one of this version that is there. None is made, nor brought up to date."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pumice.app.settings import Settings
from pumice.app.terminal import waiting_is_told
from pumice.model.errors import Invalid
from pumice.store import schema
from pumice.store.database import Database, shown
from pumice.store.open import open_database


@asynccontextmanager
async def existing(settings: Settings) -> AsyncIterator[Database]:
    """The database of an installation. Raises ``Invalid`` when there is none of this version."""
    url = settings.database()
    with waiting_is_told(f"Waiting for {shown(url)} …"):
        found = await asyncio.to_thread(schema.recorded, url)
    if found != schema.HEAD:
        raise Invalid(_lacking(shown(url), found))
    db = open_database(url)
    try:
        yield db
    finally:
        await db.close()


def _lacking(place: str, found: str | None) -> str:
    if found is None:
        return f"There is no database at {place}; 'pumice db upgrade' makes it."
    if schema.is_newer(found):
        return (
            f"A newer version has upgraded the database at {place} to schema {found}: use that one's commands."
        )
    return f"The database at {place} has an older schema, {found}; 'pumice db upgrade' brings it up to date."

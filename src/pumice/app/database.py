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
        found = await asyncio.to_thread(schema.is_current, url)
    if not found:
        raise Invalid(f"There is no database of this version at {shown(url)}; 'pumice db upgrade' makes it.")
    db = open_database(url)
    try:
        yield db
    finally:
        await db.close()

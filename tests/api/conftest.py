"""The database that a service stands on, once of each kind."""

from collections.abc import AsyncIterator

import pytest

from pumice.store.database import Database, open_database
from pumice.store.tables import metadata


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Empty, but with its tables."""
    db = open_database(database_url)
    await db.write(lambda tx: metadata.create_all(tx.connection))
    yield db
    await db.close()

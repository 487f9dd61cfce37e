"""The database that a service stands on, once of each kind."""

from collections.abc import AsyncIterator

import pytest

from pumice.store.database import Database
from pumice.store.open import open_database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    db = open_database(database_url)
    yield db
    await db.close()

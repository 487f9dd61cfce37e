"""One cloud for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from compute_cloud import Cloud

from pumice.store.database import Database


@pytest.fixture
async def cloud(tmp_path: Path, database: Database) -> AsyncIterator[Cloud]:
    cloud = Cloud(tmp_path, database)
    await cloud.open()
    yield cloud
    await cloud.close()

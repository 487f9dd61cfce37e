"""One cloud for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from compute_cloud import Cloud


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    cloud = Cloud(tmp_path)
    await cloud.open()
    yield cloud
    await cloud.close()

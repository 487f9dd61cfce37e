"""Cinder's failures, repeated in short; ``make failures`` repeats them with their full numbers."""

from collections.abc import Iterator

import pytest
from tests.failures.cloud import SYNCING, Cloud, a_cloud
from tests.failures.row import Row, repeat
from tests.failures.table import ROWS
from tests.postgres_server import PostgresServer, is_installed

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def syncing() -> Iterator[PostgresServer]:
    if not is_installed():
        pytest.skip("needs the package postgresql-15: scripts/setup dev")
    server = PostgresServer(SYNCING)
    yield server
    server.close()


@pytest.fixture(scope="module")
def cloud(syncing: PostgresServer) -> Iterator[Cloud]:
    with a_cloud(syncing, "fake") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def cloud_of_guests(syncing: PostgresServer) -> Iterator[Cloud]:
    with a_cloud(syncing, "libvirt") as cloud:
        yield cloud


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_it_ends_as_promised(row: Row, request: pytest.FixtureRequest) -> None:
    cloud = request.getfixturevalue("cloud" if row.hypervisor == "fake" else "cloud_of_guests")
    result = repeat(row, cloud, row.short)
    assert result.kept, result.words

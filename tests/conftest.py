"""The databases that tests run on, SQLite and PostgreSQL where a test asks for both; and the kernel lane."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres_server import PostgresServer, is_installed

pytest_plugins = ["kernel_lane"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests of this process."""
    if not is_installed():
        pytest.skip("needs the package postgresql-15: scripts/setup dev")
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'pumice.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.take()
    yield server.url(name)
    server.give_back(name)

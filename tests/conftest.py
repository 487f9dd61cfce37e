"""The databases that tests run on, SQLite and PostgreSQL where a test asks for both; and the kernel lane."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import new_sqlite
from postgres_server import PostgresServer, is_installed

# httpx looks for it at each request to an application, along the whole path of modules; we have it not.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

pytest_plugins = ["kernel_lane", "costs"]


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
    """A database with the newest schema and no rows, once of each kind."""
    if request.param == "sqlite":
        yield new_sqlite(tmp_path / "pumice.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.take()
    yield server.url(name)
    server.give_back(name)

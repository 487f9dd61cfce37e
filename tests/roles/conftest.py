"""The installation that most tests of roles need; some files have one of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from roles_installation import Installation

from postgres_server import PostgresServer


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    """A process for each role on a database of its own; none is started yet."""
    name = postgres.take()
    installation = Installation(tmp_path, postgres.url(name))
    yield installation
    installation.close()
    postgres.give_back(name)

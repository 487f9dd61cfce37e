"""What makes databases cheap for tests: they are copies, nothing is flushed, statements are compiled once.

What a power cut leaves is tried in ``tests/store/test_power_cut.py``, which flushes.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pumice.store import schema, sqlite

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For tests of what is decided before any database is asked, or the same way on each."""
flush = sqlite.flush
"""The real one. The SQLite of a test's own process outlives no power cut."""
sqlite.flush = lambda _: None


def new_sqlite(path: Path) -> str:
    """Make an SQLite database with the newest schema and no rows; its URL."""
    path.write_bytes(_template())
    return f"sqlite:///{path}"


@cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory(prefix="pumice-") as directory, ThreadPoolExecutor(1) as thread:
        file = Path(directory, "pumice.db")
        thread.submit(schema.upgrade, f"sqlite:///{file}").result()  # it wants an event loop of its own
        return file.read_bytes()


class SharedStatements(dict[Any, Any]):
    """Compiled statements of all engines of this process, which differ in nothing but the database they reach.

    SQLAlchemy's own cache ends with its engine, and to compile is a third of what a short test costs. Its keys
    begin with the engine's dialect, an object; here that is its name.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(self._key(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(self._key(key), value)

    @staticmethod
    def _key(key: Any) -> Any:
        dialect, *rest = key
        return dialect.name, dialect.driver, *rest


_statements = SharedStatements()


@sa.event.listens_for(sa.Engine, "engine_connect")
def share_statements(connection: sa.Connection) -> None:
    """Let every connection of this process use them."""
    connection.execution_options(compiled_cache=_statements)

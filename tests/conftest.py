"""The databases that tests run on, SQLite and PostgreSQL where a test asks for both; and the kernel lane."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from tests.ceph_cluster import CephPool

    from postgres_server import PostgresServer
    from pumice.store.database import Database

# httpx looks for it at each request to an application, along the whole path of modules; we have it not.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

# In a guest of the kernel lane an import costs ten times what it costs here: there is what its tests need.
pytest_plugins = (
    ["kernel_lane"] if os.environ.get("TEST_KERNEL_LANE") else ["kernel_lane", "costs", "drawn", "told_at_once"]
)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Whatever a test has the log do ends with it: all tests of a process have one.

    What was logged is shown when a test fails. It is written plainly: for a terminal it costs a twentieth more.
    """
    _log_plainly()
    yield
    _log_plainly()


def _log_plainly() -> None:
    if structlog := sys.modules.get("structlog"):
        structlog.reset_defaults()
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
            ]
        )


@pytest.fixture(scope="session", autouse=True)
def statements_are_recognized() -> None:
    """A statement that SQLAlchemy has no key for it writes anew each time it runs, at several times its cost.

    So is one with a part of our own that says ``inherit_cache`` and inherits nothing to be known by; and one of
    several rows at once, for which there is no key (``rows.put``).
    """
    import sqlalchemy as sa

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def look(_c: object, _cursor: object, sql: str, _p: object, context: sa.ExecutionContext, _m: bool) -> None:
        compiled = context.compiled
        if compiled is not None and (compiled.statement.is_select or compiled.statement.is_dml):
            puts_rows = getattr(compiled.statement, "_multi_values", ())
            assert compiled.cache_key is not None or puts_rows, f"written anew each time: {sql}"


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgresServer"]:
    """A server for all tests of this process."""
    from postgres_server import PostgresServer, is_installed

    if not is_installed():
        pytest.skip("needs the package postgresql-15: scripts/setup dev")
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def ceph_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator["CephPool"]:
    """A pool for all tests of a module, in the one cluster of all processes. Who uses it empties it.

    A cluster that nobody uses computes a sixteenth of a processor, and starts in a few seconds.
    """
    from tests.ceph_cluster import CephPool, shared_cluster

    worker = os.environ.get("PYTEST_XDIST_WORKER")
    run = tmp_path_factory.getbasetemp()
    with shared_cluster(run.parent if worker else run) as cluster:
        name = f"tests-{worker or 'alone'}"
        cluster.make_pool(name)
        yield CephPool(cluster, name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the newest schema and no rows, once of each kind."""
    from databases import new_sqlite

    if request.param == "sqlite":
        yield new_sqlite(tmp_path / "pumice.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.take()
    yield server.url(name)
    server.give_back(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on_postgres(postgres: "PostgresServer") -> AsyncIterator["Database"]:
    """One for all tests of a module and its loop: to connect and prepare statements costs more than a test."""
    from pumice.store.open import open_database

    name = postgres.take()
    db = open_database(postgres.url(name))
    yield db
    await db.close()
    postgres.give_back(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def database(request: pytest.FixtureRequest) -> "Database | None":
    """One that stays open, for tests whose loop is their module's; each ``empty``s it. None: one on SQLite."""
    if request.param == "sqlite":
        return None
    found: Database = request.getfixturevalue("on_postgres")
    return found

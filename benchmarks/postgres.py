"""A PostgreSQL of the benchmark's own, with the settings of a fresh one: each commit is flushed to the disk."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.postgres_server import PostgresServer

from benchmarks.serving import EACH, ONE, Serving, cpu

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track": "top",
}
COUNTED = (
    "SELECT sum(calls) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname = '{}'"
)


@asynccontextmanager
async def served(on_postgres: bool) -> AsyncIterator[tuple[Serving, "Postgres | None"]]:
    """One process on SQLite, or on PostgreSQL one for each role; its user is logged in."""
    postgres = await asyncio.to_thread(Postgres) if on_postgres else None
    try:
        with tempfile.TemporaryDirectory(prefix="pumice-benchmark-") as temporary:
            url = postgres.fresh() if postgres else None
            async with Serving(Path(temporary) / "state", EACH if postgres else ONE, url) as serving:
                await serving.log_in()
                yield serving, postgres
    finally:
        if postgres:
            postgres.close()


class Postgres:
    """A running server, and one database after another."""

    def __init__(self) -> None:
        self.server = PostgresServer(SETTINGS)
        self.server.sql("CREATE EXTENSION pg_stat_statements", "template1")
        self.name = ""

    def fresh(self) -> str:
        """The URL of an empty database, from now on the one that is counted in."""
        self.name = self.server.take()
        return self.server.url(self.name)

    def statements(self) -> int:
        """How many statements its database was asked since the start, BEGIN and COMMIT included."""
        return int(self.server.sql(COUNTED.format(self.name), "template1"))

    def conflicts(self) -> int:
        """How many transactions met another since the start, and had to be run again."""
        return (self.server.directory / "log").read_text().count("ERROR:  could not serialize access")

    def cpu(self) -> float:
        """Seconds of CPU that the server has used."""
        return cpu(self.server.process_id)

    def close(self) -> None:
        """Stop it, and remove all it kept."""
        self.server.close()

"""The schema's version: brings a database to the newest one, and costs next to nothing where it is there.

A start asks the database which version it has, in one plain statement; Alembic is only imported when that is
not ``HEAD``. All migrations that are missing run in ONE writing transaction, so two processes that start at
once do not meet in the middle, and one that is killed leaves the schema as it was.

An index of a table with many rows takes longer than others can wait for. So on PostgreSQL those that are
missing are built before that, beside whoever reads and writes; the migration finds them there, and makes them
itself only in an empty database.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from pumice.model.errors import Misconfigured
from pumice.store.database import Database, Transaction, alone, parsed
from pumice.store.open import open_database
from pumice.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0041"
"""The newest version in ``migrations/versions``; a test holds the two together."""

LOOK_SECONDS = 3.0
"""How long a command that only looks asks a server that does not answer."""
MIGRATIONS = Path(__file__).with_name("migrations")


def upgrade(url: str) -> str | None:
    """Bring the database of ``url`` to ``HEAD``, for commands. See ``migrate``."""

    async def work() -> str | None:
        db = open_database(url)
        try:
            return await migrate(db)
        finally:
            await db.close()

    return asyncio.run(work())


def recorded(url: str) -> str | None:
    """The version of a database; None where there is none. That one is not made, nor long waited for."""
    if not may_be_there(url):
        return None

    async def work() -> str | None:
        db = open_database(url, timeout=LOOK_SECONDS)
        try:
            return await _recorded(db)
        finally:
            await db.close()

    return asyncio.run(work())


def is_current(url: str) -> bool:
    """Whether there is a database, of this version. See ``recorded``."""
    return recorded(url) == HEAD


def is_newer(found: str | None) -> bool:
    """Whether a version is later than this Pumice knows: another has upgraded the database."""
    return found is not None and found > HEAD


def may_be_there(url: str) -> bool:
    """Whether to look makes nothing: opening an SQLite database that is not there would."""
    it = parsed(url)
    return it.get_backend_name() != "sqlite" or bool(it.database and Path(it.database).exists())


async def migrate(db: Database) -> str | None:
    """Bring a database to ``HEAD``. Returns the version it had; None when it was empty.

    Raises ``Misconfigured`` when there is no database, or one that a newer Pumice wrote; ``Retryable`` when it
    is busy.
    """
    found = await _recorded(db)
    if found == HEAD:
        return found
    if found is not None:
        await db.build("indexes", await db.read(_missing_indexes))
    return await db.write(_migrate)


async def _recorded(db: Database) -> str | None:
    try:
        return await db.read(version)
    except sa.exc.DBAPIError as error:
        raise Misconfigured(f"This is not a database of Pumice: {error.orig}.") from error


def version(tx: Transaction) -> str | None:
    """The version that is recorded; None in an empty database."""
    if not sa.inspect(tx.connection).has_table("alembic_version"):
        return None
    return tx.connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration from a version of the schema to the next."""

    version: str
    about: str
    takes_away: bool
    """Whether processes of the version before cannot live with it: it says ``TAKES_AWAY = True``."""


def _missing_indexes(tx: Transaction) -> list[str]:
    """The statements that build what indexes the newest version has more, of columns that are there."""
    if tx.connection.dialect.name != "postgresql":
        return []
    there = {(row.table, row.column) for row in tx.connection.exec_driver_sql(_COLUMNS)}
    known = {row.name: row.is_valid for row in tx.connection.exec_driver_sql(_INDEXES)}
    found = []
    for index in (each for table in metadata.sorted_tables for each in table.indexes):
        is_possible = all((column.table.name, column.name) in there for column in index.columns)
        if index.name is None or known.get(index.name) or not is_possible:
            continue
        if index.name in known:  # who built it was interrupted
            found.append(f"DROP INDEX CONCURRENTLY {index.name}")
        made = str(CreateIndex(index).compile(dialect=tx.connection.dialect))
        found.append(made.replace(" INDEX ", " INDEX CONCURRENTLY ", 1))
    return found


_COLUMNS = (
    'SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns'
    " WHERE table_schema = current_schema()"
)
_INDEXES = (
    "SELECT c.relname AS name, i.indisvalid AS is_valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE c.relnamespace = current_schema()::regnamespace"
)


def pending(found: str | None) -> list[Migration]:
    """What a database of this version lacks, the next first. Raises ``CommandError`` for an unknown one."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config()).iterate_revisions("head", found or "base")
    return [
        Migration(it.revision, it.doc, getattr(it.module, "TAKES_AWAY", False))
        for it in reversed(list(scripts))
    ]


def living(tx: Transaction) -> list[str]:
    """The processes that are connected, each by what it says of itself; those of SQLite say nothing."""
    if tx.connection.dialect.name != "postgresql":
        return []
    return sorted({str(name) for name in tx.connection.exec_driver_sql(_LIVING).scalars()})


def older(names: Iterable[str]) -> list[str]:
    """The processes among ``names``, as ``living`` tells them, that are of another version than this."""
    return [name for name in names if f"schema {HEAD}" not in name]


_LIVING = (
    "SELECT application_name || coalesce(' at ' || host(client_addr), '') FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name LIKE 'pumice %' AND pid <> pg_backend_pid()"
)


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _migrate(tx: Transaction) -> str | None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    alone(tx)
    config = _config()
    config.attributes["connection"] = tx.connection
    found = version(tx)  # once more: another process may have been faster
    try:
        ScriptDirectory.from_config(config).get_revision(found or HEAD)
    except CommandError:
        raise Misconfigured(
            f"The database has schema '{found}', which this Pumice does not know: a newer one wrote it."
        ) from None
    _refuse_to_take_away(tx, found)
    command.upgrade(config, "head")
    return found


def _refuse_to_take_away(tx: Transaction, found: str | None) -> None:
    """Raise ``Misconfigured`` where what is to be taken away is still used by another version's processes."""
    taking = [it.version for it in pending(found) if it.takes_away]
    if taking and (users := older(living(tx))):
        raise Misconfigured(
            f"Schema {', '.join(taking)} takes away what another version uses: stop {', '.join(users)} first."
        )

"""Which database a URL names."""

from pathlib import Path

from pumice.model.errors import Misconfigured
from pumice.store.database import BUSY_SECONDS, Database, parsed
from pumice.store.sqlite import SqliteDatabase


def open_database(url: str, role: str = "", timeout: float = BUSY_SECONDS) -> Database:
    """Open the database of ``url``: ``sqlite:////var/lib/pumice/pumice.db``, ``postgresql://user@host/pumice``.

    ``role`` is how this process is called in PostgreSQL; ``timeout`` how long a server that does not answer is
    asked again, in seconds.
    """
    wanted = parsed(url)
    kind = wanted.get_backend_name()
    if kind == "postgresql":
        from pumice.store.postgres import PostgresDatabase

        return PostgresDatabase(wanted, role, timeout)
    if kind != "sqlite" or not wanted.database:
        shown = wanted.render_as_string()
        raise Misconfigured(f"The database URL '{shown}' is not of the form sqlite:///PATH or postgresql://…")
    return SqliteDatabase(Path(wanted.database))

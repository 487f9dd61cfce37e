"""Which database a URL names."""

from pathlib import Path

import sqlalchemy as sa

from pumice.model.errors import Misconfigured
from pumice.store.database import BUSY_SECONDS, Database
from pumice.store.sqlite import SqliteDatabase


def open_database(url: str, role: str = "", timeout: float = BUSY_SECONDS) -> Database:
    """Open the database of ``url``: ``sqlite:////var/lib/pumice/pumice.db``, ``postgresql://user@host/pumice``.

    ``role`` is how this process is called in PostgreSQL; ``timeout`` how long a server that does not answer is
    asked again, in seconds.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise Misconfigured("The database URL is none: it reads sqlite:///PATH or postgresql://…") from None
    kind = parsed.get_backend_name()
    if kind == "postgresql":
        from pumice.store.postgres import PostgresDatabase

        return PostgresDatabase(parsed, role, timeout)
    if kind != "sqlite" or not parsed.database:
        shown = parsed.render_as_string()
        raise Misconfigured(f"The database URL '{shown}' is not of the form sqlite:///PATH or postgresql://…")
    return SqliteDatabase(Path(parsed.database))

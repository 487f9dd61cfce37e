"""A connection to PostgreSQL that waits seldom: BEGIN goes with the first statement, the seal with COMMIT.

::

    asked:   BEGIN, first statement ──▶   second ──▶   …   seal with notifications, COMMIT ──▶
    waited:            1                    1                           1

SQLAlchemy's adapter waits for an answer to each of them: two trips more for a write, and for a read. asyncpg
has no words for it, but PostgreSQL's protocol has: a message without ``Sync`` is carried out, and
answered together with the next one that has it. So the words before are written to the connection by hand, and
what asyncpg asks then takes the answers to both: of those that do not concern it it takes no notice, but for an
error, after which PostgreSQL passes over all that was asked in the same breath.

So is a statement of which nothing is asked (``Transaction.send``): it goes with the next.

A read that is a single statement needs no transaction to see one snapshot, and is one trip (``alone``).
"""

import contextlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection, AsyncAdapt_asyncpg_cursor
from sqlalchemy.util.concurrency import await_

CHANNEL = "pumice"
"""The channel of PostgreSQL's on which processes tell each other what they have committed."""

_SEAL, _TELL, _COMMIT, _ROLLBACK = "seal", "tell", "commit", "rollback"
"""Names of statements that every connection has prepared when it commits first."""
_WRITTEN = "pg_current_xact_id_if_assigned() IS NOT NULL"
_ENDS = {
    _SEAL: f"INSERT INTO commits SELECT $1::bigint WHERE {_WRITTEN}",
    # told whether it wrote or not: so the condition depends on what was told
    _TELL: f"""
        INSERT INTO commits SELECT $1::bigint FROM (
            SELECT count(pg_notify('{CHANNEL}', payload)::text) AS number
            FROM unnest(string_to_array($2::text, E'\\n')) AS payload
        ) AS told WHERE CASE WHEN told.number > 0 THEN {_WRITTEN} END
    """,  # noqa: S608 (ours)
    _COMMIT: "COMMIT",
    _ROLLBACK: "ROLLBACK",
}


@dataclass(frozen=True, slots=True)
class LastWords:
    """What a transaction leaves with its COMMIT."""

    seal: int
    payloads: Sequence[str]
    """Notifications; none holds a line break."""


class MoreThanOneStatement(Exception):
    """What was to be one statement asks for another: it needs a transaction to see one snapshot."""


class Cursor(AsyncAdapt_asyncpg_cursor):
    """SQLAlchemy's cursor, which need not wait."""

    _adapt_connection: "Connection"

    async def _prepare_and_execute(self, operation: str, parameters: Any) -> None:
        if not await self._send(operation, [parameters or ()]):
            await super()._prepare_and_execute(operation, parameters)  # type: ignore[no-untyped-call]
            self._adapt_connection.pending = False

    async def _executemany(self, operation: str, seq_of_parameters: Any) -> None:
        if not await self._send(operation, seq_of_parameters):
            await super()._executemany(operation, seq_of_parameters)  # type: ignore[no-untyped-call]
            self._adapt_connection.pending = False

    async def _send(self, operation: str, rows: Sequence[Sequence[Any]]) -> bool:
        """Say a statement without waiting, once for each row. False where it has to be waited for."""
        connection = self._adapt_connection
        if not connection.sends or connection.isolation_level == "autocommit":
            return False
        try:
            told = [[_text(value) for value in row] for row in rows]
        except (TypeError, UnicodeEncodeError):
            return False
        async with connection._execute_mutex:
            if connection._transaction is None:
                await connection._start_transaction()
            try:
                since = self._invalidate_schema_cache_asof
                prepared, answers = await connection._prepare(operation, since)  # type: ignore[no-untyped-call]
            except Exception as error:
                self._handle_exception(error)  # type: ignore[no-untyped-call]
        if answers:
            return False
        connection.send(prepared.get_name(), told)
        self._description, self._rowcount = None, -1
        return True


class Connection(AsyncAdapt_asyncpg_connection):
    """SQLAlchemy's connection, with fewer trips."""

    _cursor_cls = Cursor

    __slots__ = ("_driver", "_ends", "alone", "asked", "last_words", "pending", "sends", "turn")

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)  # type: ignore[no-untyped-call]
        self._driver: Any = self._connection
        """asyncpg's own."""
        self._ends: dict[str, Any] = {}
        self.last_words: LastWords | None = None
        self.turn: int | None = None
        """The number of the table that the next transaction locks before anything else, if it is to wait."""
        self.sends = False
        """Whether the statement in hand need not be waited for."""
        self.pending = False
        """Whether one was said that nobody has waited for."""
        self.alone = False
        """Whether the next statement is the only one, and needs no transaction."""
        self.asked = 0
        """How many there were while ``alone``."""

    async def _start_transaction(self) -> None:
        if self.isolation_level == "autocommit":
            return
        if self.alone:
            self.asked += 1
            if self.asked > 1:
                raise MoreThanOneStatement
            return
        self._begin()

    def _begin(self) -> None:
        level = str(self.isolation_level).replace("_", " ")
        self._say(_unnamed(f"BEGIN ISOLATION LEVEL {level}"))
        if self.turn is not None:
            self._say(_unnamed(f"LOCK TABLE turns_{self.turn} IN SHARE UPDATE EXCLUSIVE MODE"))
        self._transaction = _Transaction(self)  # type: ignore[assignment]

    def commit(self) -> None:
        """Commit, with the last words, if there is a transaction or something to tell."""
        if self._transaction is None and self.last_words and self.last_words.payloads:
            self._begin()
        super().commit()  # type: ignore[no-untyped-call]

    async def end(self) -> None:
        """Say the last words and COMMIT."""
        said, self.last_words = self.last_words, None
        try:
            await self._prepare_ends()
            if said is not None and said.payloads:
                self._say(_bound(_TELL, _text(said.seal), _text("\n".join(said.payloads))))
            elif said is not None:
                self._say(_bound(_SEAL, _text(said.seal)))
            self.pending = True
            await self._ends[_COMMIT].fetch()
            self.pending = False
        except asyncpg.PostgresError:
            self.pending = False
            if self._driver.is_in_transaction():
                await self.undo()
            raise

    async def undo(self) -> None:
        """Roll back."""
        self.last_words = None
        if self.pending:  # if that has failed, all is passed over until somebody has waited
            self.pending = False
            with contextlib.suppress(asyncpg.PostgresError):
                await self._prepare_ends()
                await self._ends[_ROLLBACK].fetch()
                return
        await self._driver.execute("ROLLBACK")

    async def _prepare_ends(self) -> None:
        for name in _ENDS.keys() - self._ends.keys():
            self._ends[name] = await self._driver.prepare(_ENDS[name], name=name)

    def send(self, name: str, rows: Sequence[Sequence[bytes | None]]) -> None:
        """Say a prepared statement without waiting for it, once for each row."""
        self.pending = True
        self._say(b"".join(_bound(name, *row) for row in rows))

    def _say(self, messages: bytes) -> None:
        """Say what is answered with the next statement; if the connection is gone, that tells so."""
        transport = self._driver._transport
        if transport is not None and not transport.is_closing():
            transport.write(messages)


class _Transaction:
    """What the adapter takes for asyncpg's transaction."""

    def __init__(self, connection: Connection) -> None:
        self.commit = connection.end
        self.rollback = connection.undo


def connect(dialect: sa.Dialect, _record: Any, cargs: Any, cparams: dict[str, Any]) -> Connection:
    """Connect for an engine (its event ``do_connect``)."""
    return await_(Connection.create(dialect.loaded_dbapi, asyncpg.connect(*cargs, **cparams)))


def of(connection: sa.Connection) -> Connection:
    """The connection below one of SQLAlchemy's."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, Connection)
    return raw


@contextlib.contextmanager
def unanswered(connection: sa.Connection) -> Iterator[None]:
    """What is asked within need not be waited for."""
    raw = of(connection)
    raw.sends = True
    try:
        yield
    finally:
        raw.sends = False


# --- messages of the protocol (PostgreSQL's manual, 55.7) ---------------------------------------


@cache
def _unnamed(statement: str) -> bytes:
    """Parse, bind and execute a statement without parameters."""
    return _message(b"P", b"\0" + statement.encode() + b"\0" + struct.pack("!h", 0)) + _bound("")


def _bound(name: str, *values: bytes | None) -> bytes:
    """Bind a prepared statement to values, as text, and execute it."""
    told = b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values
    )
    bind = b"\0" + name.encode() + b"\0" + struct.pack("!hh", 0, len(values)) + told + struct.pack("!h", 0)
    return _message(b"B", bind) + _message(b"E", b"\0" + struct.pack("!i", 0))


def _text(value: object) -> bytes | None:
    """A value as PostgreSQL reads it. Raises ``TypeError`` for what is not one of the simple kinds."""
    match value:
        case None:
            return None
        case bool():
            return b"true" if value else b"false"
        case str():
            return value.encode()
        case int():
            return str(int(value)).encode()
        case float():
            return repr(float(value)).encode()
        case datetime():
            return value.isoformat(" ").encode()
        case list():
            return b"{" + b",".join(_entry(entry) for entry in value) + b"}"
    raise TypeError(type(value))


def _entry(value: object) -> bytes:
    """A word in an array. Raises ``TypeError`` for anything else."""
    if not isinstance(value, str):
        raise TypeError(type(value))
    return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body

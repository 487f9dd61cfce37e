"""Transactions. The one door to the database.

A transaction is an ordinary function ``work(tx, ...)`` that reads and writes rows and touches nothing else::

    volume = await db.write(accept, who, wanted)     # runs accept(tx, who, wanted), commits
    rows = await db.read(volumes.page, who, query)   # runs page(tx, who, query) on one snapshot

Because the function awaits nothing, a transaction can never be held open across a call to the outside, and
because it touches nothing but rows it can be run again from the start when the database asks for that. Whoever
writes such a function never commits, never rolls back: returning commits, raising rolls back.

Measured against an ``await`` for each statement this saves two thirds of a request's database time; see
``docs/decisions/0002-transactions.md``. SQLite, for one process, is in ``sqlite.py``; PostgreSQL, for many, in
``postgres.py``; ``open.py`` takes the one that a URL names.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult

from pumice.model.errors import Misconfigured
from pumice.model.metrics_sink import MetricsSink
from pumice.store.changes import told

P = ParamSpec("P")
T = TypeVar("T")

BUSY_SECONDS = 20
PATIENCE_SECONDS = 5.0
MISSED = ""
"""The topic that stands for any: a listener could not listen for a while."""


class Transaction:
    """What a transaction's function works with: statements, and what is to happen once they are committed."""

    __slots__ = ("connection", "locked", "topics")

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.topics: list[str] = []
        self.locked = set[object]()
        """What it has locked, and so need not lock again."""

    def execute(self, statement: sa.Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run one statement; ``parameters`` is a mapping, or a list of them for many rows at once.

        Who waits for a thing whose row it writes is told (``changes.py``).
        """
        result = self.connection.execute(statement, parameters)
        if statement.is_dml:
            self.topics += told(statement, parameters)
        return result

    def send(self, statement: sa.Executable, parameters: Any = None) -> None:
        """Run one statement of which nothing is asked: no row, not how many.

        Where that saves a trip it is not waited for: an error comes with the next statement, or the commit.
        """
        self.execute(statement, parameters)

    def lock(self, statement: sa.Executable, ids: Collection[str]) -> None:
        """Lock the rows of ``ids`` until the end; the statement changes nothing.

        Who waits for them sees what this one writes.

        Nothing is to be done where only one transaction writes at a time. Nobody is told of it.
        """

    def notify(self, topic: str) -> None:
        """Tell every subscriber once this transaction is durable, and nobody if it never is."""
        self.topics.append(topic)


class Database(Protocol):
    """A database that runs transactions."""

    poll_seconds: float
    """How often to look for what ``subscribe`` should have told: a word may be lost, seldom."""
    metrics: MetricsSink
    """Told of transactions that had to run again."""
    in_order: bool
    """Whether numbers of the log are seen in their order, because only one transaction writes at a time."""

    async def write(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run ``work`` in a transaction that may write, and commit it. Raises ``Retryable`` if it cannot."""

    async def read(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run ``work`` in a transaction that only reads, on one consistent snapshot."""

    def hangs(self) -> str | None:
        """Why what was asked of it long ago has not come back; None where that is not so."""

    async def renew(self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kw: P.kwargs) -> T:
        """Run ``work`` once, on a connection of its own that no crowd of other transactions keeps busy.

        For leases alone: it is not serializable, and is never run again. Raises ``Retryable``.
        """

    async def build(self, name: str, statements: Sequence[str]) -> None:
        """Run each statement by itself, outside of any transaction, for as long as it takes.

        Of several processes that do so under one ``name`` one does at a time. On SQLite they are left out: it
        is for what makes a change later quick for others, and there are none.
        """

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call ``listener(topic)`` on the event loop after each commit that notifies. Returns the way to stop.

        The topic is ``MISSED`` when some may have been lost on the way from other processes. One may also be
        lost for good when a process dies; whoever waits for one also looks from time to time.
        """

    async def hold(self, name: str, lost: Callable[[], None], *, timeout: float = PATIENCE_SECONDS) -> None:
        """Be the only process that holds ``name``, until this one ends, however it ends.

        Raises ``Misconfigured`` when another still does after ``timeout``: it may just be dying. ``lost`` is
        called if another takes it after the connection was lost. On SQLite it is the only one of this machine
        that has the database or a copy of it.
        """

    async def unheld(self, names: Collection[str]) -> set[str]:
        """The names that no living process holds. On SQLite nobody knows, so there are none."""

    async def close(self) -> None:
        """Let running transactions end and close every connection."""


@contextmanager
def nested(tx: Transaction) -> Iterator[None]:
    """A part of a transaction that leaves no trace when it raises, while the rest goes on."""
    savepoint, told, locked = tx.connection.begin_nested(), len(tx.topics), set(tx.locked)
    try:
        yield
    except BaseException:
        savepoint.rollback()
        del tx.topics[told:]
        tx.locked = locked
        raise
    savepoint.commit()


def is_retryable(error: Exception) -> bool:
    """Whether an error met inside a transaction is the database's own: ``write`` deals with it, nobody else."""
    if isinstance(error, sa.exc.DBAPIError):
        state = sqlstate(error)
        lost = error.connection_invalidated or state[:2] in _AWAY
        return isinstance(error, sa.exc.OperationalError) or lost or state in _MET_ANOTHER
    return isinstance(error, OSError)  # a transaction touches rows only: this was the connection's


def shown(url: str) -> str:
    """A database's URL without the password."""
    return parsed(url).render_as_string()


def parsed(url: str) -> sa.URL:
    """A database's URL by its parts. Raises ``Misconfigured`` when it is none."""
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # the second for a port that is no number
        raise Misconfigured("The database URL is none: it reads sqlite:///PATH or postgresql://…") from None


def alone(tx: Transaction) -> None:
    """Begin a transaction that sets up a database: wait until no other process does, and see what it did."""
    if tx.connection.dialect.name == "postgresql":
        tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"))
        tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('set up', 0))"))


_AWAY = ("08", "53", "57")
"""Classes of PostgreSQL's errors: no connection, no resources, told to stop."""
_MET_ANOTHER = ("40001", "40P01")
"""Serialization failure, deadlock."""


def sqlstate(error: Exception) -> str:
    """The standard's code of a database's error; empty when it has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""

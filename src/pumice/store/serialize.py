"""Turns: transactions that are bound to meet in one row are run one after the other, instead of again.

Every create of a project counts in the same rows of quota, every choice of a pool claims space in the same
pools. Of two such transactions at once PostgreSQL lets one wait for the other and then fail, because it had
begun before that one ended. Run again it is right, but it has cost twice the work, and it fails again when it
meets the next.

So a function that knows what it will change that many others do says so before its transaction begins::

    @serialized(lambda who, *_: f"quota of {who.project_id}")
    def accept(tx, who, wanted): ...

Within a process they wait for a lock of its own; processes, on PostgreSQL, for that of a table that is there to
be locked (``tables.turns``). LOCK TABLE is the one lock that SERIALIZABLE can begin with: it takes no
snapshot, so who has waited for it sees what was committed meanwhile. An advisory lock is asked for by a SELECT.

This makes nothing safe: that is the isolation of transactions. It only makes it cheap.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary
from zlib import crc32

from pumice.store.tables import turns

CHOICE = "the choice of pools and hosts"
"""The queue of the whole cloud. It has a table of its own, so that no project waits in it."""
F = TypeVar("F", bound=Callable[..., Any])
_QUEUE = "_turn"
_ROW_BY_ROW = "_row_by_row"


def serialized(turn: Callable[..., str | None]) -> Callable[[F], F]:
    """Say of a transaction's function in which queue it waits; ``turn`` is told its arguments but the first."""

    def decorate(work: F) -> F:
        setattr(work, _QUEUE, turn)
        return work

    return decorate


def row_by_row(work: F) -> F:
    """Say of a transaction's function that it is right as well where others commit between its statements.

    On PostgreSQL it runs at READ COMMITTED, so that it never fails by what it has read. Whatever it depends on
    is a condition of the statement that writes, and is judged on the row as it is once that is locked; or it
    begins by locking one row that whoever changes what it depends on locks as well, and reads only then.
    """
    setattr(work, _ROW_BY_ROW, True)
    return work


def is_row_by_row(work: object) -> bool:
    """Whether that was said of it, or of what it is with some arguments given."""
    while isinstance(work, partial) and not hasattr(work, _ROW_BY_ROW):
        work = work.func
    return getattr(work, _ROW_BY_ROW, False)


def queue_of(work: Callable[..., Any], args: tuple[Any, ...]) -> str | None:
    """The queue that a transaction waits in; None for most."""
    turn = getattr(work, _QUEUE, None)
    return turn(*args) if turn else None


def table_of(queue: str) -> int:
    """The number of the table in ``turns`` that a queue locks; projects may have the same one."""
    return 0 if queue == CHOICE else 1 + crc32(queue.encode()) % (len(turns) - 1)


class Serializer:
    """The queues of one process."""

    def __init__(self) -> None:
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def take(self, queue: str | None) -> AbstractAsyncContextManager[None, bool | None]:
        """The turn of a transaction in a queue, to be held from before it begins to after its end."""
        return nullcontext() if queue is None else self._queues.setdefault(queue, asyncio.Lock())

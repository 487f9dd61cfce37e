"""Run blocking work in a thread that is never left behind, nor in the way of another place's.

A thread cannot be interrupted. A caller that is cancelled and goes away while its thread still works would
let go of its locks too early, and the thread would finish something that somebody else has begun to undo. So
a cancelled caller first waits for the thread; long work is handed a ``stop`` event to look at between steps.
Whoever cannot wait for so long leaves the caller behind, locks and all (``bulkhead.py``).

Threads belong to a place: a disk that hangs uses up its own, and no others. They are daemons, so that one that
the kernel holds does not keep the process from ending.
"""

import asyncio
import contextvars
import threading
import time
from asyncio import Future
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, TypeVarTuple

from pumice.model.errors import Retryable

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

NOT_BACK = "What was begun there has not come back, and nothing more is begun."
MOST = 8
IDLE_SECONDS = 10.0
HANGS_SECONDS = 2.0
"""A thread that works on for so long after its caller was cut hangs."""


class Threads:
    """At most ``most`` threads; each is begun when it is needed, and ends when it was idle for a while."""

    def __init__(self, name: str, most: int = MOST) -> None:
        self._name = name
        self._most = most
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = 0
        self._idle = 0
        self._cut: dict[Future[Any], float] = {}
        """Work whose caller was cut, and that is not done: since when."""

    def cut(self, working: "Future[Any]") -> None:
        """Note that nobody waits for this work any more."""
        if working not in self._cut:
            self._cut[working] = time.monotonic()
            working.add_done_callback(lambda done: self._cut.pop(done, None))

    def run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> "Future[Result]":
        """Do ``work`` in one of the threads, in its caller's context, when one is free.

        Raises ``Retryable`` while half of them hang, and one at least: another would hang as well.
        """
        since = time.monotonic() - HANGS_SECONDS
        if sum(at < since for at in self._cut.values()) >= max(self._most // 2, 1):
            raise Retryable(NOT_BACK, f"{self._name}.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            if future.cancelled():
                return
            result, error = None, None
            try:
                result = context.run(work, *arguments)
            except BaseException as failure:  # handed to the caller, whatever it is
                error = failure
            with suppress(RuntimeError):  # the loop was closed, and nobody waits any more
                loop.call_soon_threadsafe(_settle, future, result, error)

        with self._lock:
            self._jobs.put(job)
            if self._idle < self._jobs.qsize() and self._running < self._most:
                self._running += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                job = None
            with self._lock:
                self._idle -= 1
                if job is None and self._jobs.empty():
                    self._running -= 1
                    return
            if job is not None:
                job()


def _settle(future: "Future[Any]", result: object, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


_OTHERS = Threads("others")
"""The threads for what belongs to no place."""
_threads: contextvars.ContextVar[Threads | None] = contextvars.ContextVar("_threads", default=None)


@contextmanager
def in_threads_of(threads: Threads) -> Iterator[None]:
    """Blocking work that is begun meanwhile runs in these threads."""
    token = _threads.set(threads)
    try:
        yield
    finally:
        _threads.reset(token)


@contextmanager
def by_default_in_threads_of(threads: Threads) -> Iterator[None]:
    """Blocking work that is begun meanwhile runs in these threads, unless it is a place's already."""
    with in_threads_of(_threads.get() or threads):
        yield


async def in_thread(
    work: Callable[[*Arguments], Result], *arguments: *Arguments, stop: threading.Event | None = None
) -> Result:
    """``work(*arguments)`` in a thread of the place for which this is done.

    When the caller is cancelled, ``stop`` is set, the thread is waited for, and its result is dropped.
    """
    threads = _threads.get() or _OTHERS
    working = threads.run(work, *arguments)

    def hurry() -> None:
        threads.cut(working)
        if stop:
            stop.set()

    return await to_the_end(working, hurry)


async def to_the_end(working: "Future[Result]", hurry: Callable[[], None] | None = None) -> Result:
    """What comes of ``working``, which a cancelled caller does not interrupt, but waits for.

    When the caller is cancelled, ``hurry`` is called, and the result is dropped.
    """
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        if hurry:
            hurry()
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # looked at, so that asyncio does not report it as forgotten
        raise

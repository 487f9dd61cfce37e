"""Threads that each keep a connection and do one job after another on it.

They do what an executor with a connection pool would, for half its price: a job costs one queue and one call
back into the event loop, without locks, conditions and check-outs of its own. Measured on a read of one row:
48 µs of CPU instead of 88.

Where what was done is to be on disk before anybody hears of it, a thread does all jobs that wait, has them
settled together, and answers then: many callers cost one flush, and one caller waits for its own alone.

A disk that hangs holds a thread in the kernel. Who waits for it is told after ``HUNG_SECONDS``, and goes: a job
that was in hand may still be done when the disk is back, one that waited for its turn is not. A job that goes
on, however long it takes, does not hang: the database tells that it goes on.
"""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

import sqlalchemy as sa

from pumice.model.errors import Retryable

T = TypeVar("T")
Connected = Callable[[], sa.Connection]
"""The thread's connection, made when it is asked for first."""
LOOK_SECONDS = 1.0
HUNG_SECONDS = 30.0
"""How long one job may stand still, or to settle some; longer than any waits for a lock of the database."""
AT_ONCE = 64
"""Jobs that are settled together, at most."""
Answer = Callable[[BaseException | None], None]
"""Tells a job's caller what came of it; or the error that kept it from being settled."""
Job = Callable[[Connected, int], Answer]
"""Told the thread's connection, and its number."""
Settle = Callable[[], None]
Watch = Callable[[sa.Connection, Callable[[], None]], None]
"""Has a connection's database call a function now and then while it works."""


class Threads:
    """``number`` threads, each with a connection that ``connect`` makes. What a job raises, its caller gets.

    ``settle`` is called before jobs are answered, once for all that waited; what it raises, each caller gets.
    ``what`` they work on is named where it hangs.
    """

    def __init__(
        self,
        connect: Callable[[], sa.Connection],
        number: int,
        name: str,
        what: str,
        settle: Settle | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._connect = connect
        self._settle = settle
        self._watch = watch
        self._what = what
        self._since: list[float | None] = [None] * number
        """When each thread came to what it does, or it was seen to go on, on the monotonic clock.

        None while it has nothing to do.
        """
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, args=(n,), name=f"{name}-{n}", daemon=True)
            for n in range(number)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, job: Callable[[Connected], T]) -> T:
        """Do ``job`` in one of the threads. One that is cancelled before its turn comes is not done.

        It runs in its caller's context, so that what it logs names the caller's request and operation. Raises
        ``Retryable`` when its thread hangs, or before its turn comes all of them.
        """
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        future: asyncio.Future[T] = loop.create_future()
        at: int | None = None

        def do(connected: Connected, thread: int) -> Answer:
            nonlocal at
            if future.done():
                return lambda _: None
            at = thread
            result: T | None = None
            error: BaseException | None = None
            try:
                result = context.run(job, connected)
            except BaseException as failure:
                error = failure

            def answer(unsettled: BaseException | None) -> None:
                with contextlib.suppress(RuntimeError):  # the loop was closed, and nobody waits any more
                    loop.call_soon_threadsafe(_tell, future, result, error or unsettled)

            return answer

        def look() -> None:
            if future.done():
                return
            if why := self.hangs(at):
                future.set_exception(Retryable("The database does not answer.", why))
            else:
                loop.call_later(HUNG_SECONDS, look)

        watch = loop.call_later(HUNG_SECONDS, look)
        self._ask(do)
        try:
            return await future
        finally:
            watch.cancel()

    def hangs(self, thread: int | None = None) -> str | None:
        """Why a thread does not come to an end, or none of them; None when it is as it should be."""
        asked = self._since if thread is None else [self._since[thread]]
        late = time.monotonic() - HUNG_SECONDS
        if any(since is None or since > late for since in asked):
            return None
        return f"The database does not answer: {self._what} hangs."

    def run_now(self, job: Callable[[Connected], T]) -> T:
        """Run a job in the thread, for callers without an event loop."""
        future: Future[T] = Future()

        def do(connected: Connected, _: int) -> Answer:
            try:
                result = job(connected)
            except BaseException as error:
                failure = error
                return lambda _: future.set_exception(failure)
            return lambda unsettled: future.set_exception(unsettled) if unsettled else future.set_result(result)

        self._ask(do)
        return future.result()

    def _ask(self, job: Job) -> None:
        if self._closed:
            raise RuntimeError("The database was closed.")
        self._jobs.put(job)

    def close(self) -> None:
        """Do what was asked for before, then end the threads with their connections, but for what hangs."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for number, thread in enumerate(self._threads):
            while thread.is_alive() and not self.hangs(number):
                thread.join(LOOK_SECONDS)

    def _work(self, number: int) -> None:
        connection: sa.Connection | None = None

        def goes_on() -> None:
            self._since[number] = time.monotonic()

        def connected() -> sa.Connection:
            nonlocal connection
            if connection is None:
                connection = self._connect()
                if self._watch is not None:
                    self._watch(connection, goes_on)
            return connection

        def do(job: Job) -> Answer:
            goes_on()
            return job(connected, number)

        while (job := self._jobs.get()) is not None:
            answers = [do(job)]
            if self._settle is not None:
                answers += [do(other) for other in self._others()]
            unsettled = self._settled(number)
            self._since[number] = None
            for answer in answers:
                answer(unsettled)
        if connection is not None:
            connection.close()

    def _settled(self, number: int) -> BaseException | None:
        """Settle what was done; why not."""
        if self._settle is None:
            return None
        self._since[number] = time.monotonic()
        try:
            self._settle()
        except BaseException as error:
            return error
        return None

    def _others(self) -> Iterator[Job]:
        """The jobs that wait beside the one in hand."""
        for _ in range(AT_ONCE - 1):
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return
            if job is None:  # to end is left for last
                self._jobs.put(None)
                return
            yield job


def _tell(future: "asyncio.Future[T]", result: T | None, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(cast("T", result))

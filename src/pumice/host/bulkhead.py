"""A place is a bulkhead: what hangs there costs that place, and nothing else.

A disk that does not answer holds a thread or a child process in the kernel, and nothing can end it. So a call
to the outside has a limit, and at its limit the caller goes on, whether the call has come back or not::

    call ──▶ ends in time                                   its result
        └──▶ limit: cut ──▶ ends within CUT_SECONDS         TimeoutError
                       └──▶ does not: it is *left behind*   TimeoutError

A call that was left behind keeps its thread, its locks and its child until it comes back or the process ends.
Until then nothing more is done about what it is about, and no second call like it begins. It counts where it
hangs: a step at a backend that hangs in the store of backups, or in a target, takes no thread of the backend,
and keeps none of its workers, however far its limit is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, cast

import structlog

from pumice.host.thread import MOST, NOT_BACK, Threads, in_threads_of
from pumice.model.errors import PumiceError, Retryable
from pumice.model.ids import new_id

logger = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Driver = TypeVar("Driver")

CUT_SECONDS = 2.0
"""How long a call that was cut may take to let go."""
LOOK_SECONDS = 60.0
CHANGE_SECONDS = 3600.0
"""Limits of a driver's calls outside of operations, whose steps have limits of their own."""
LOOKS = frozenset(
    {"pool_names", "pools", "mark", "device", "is_deep", "inventory", "manageable", "exports", "look"}
    | {"connector", "machines", "powers", "power", "disks", "console", "remains", "secrets"}
)
"""The drivers' calls that change nothing."""

_inside: ContextVar["list[Bulkhead] | None"] = ContextVar("_inside", default=None)
"""The bulkheads that a call which has a limit has come into, the innermost last; None outside of any call."""


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """A call that its caller has left behind, and that has not come back."""

    place: str
    call: str
    about: str | None
    """Id of the volume, server… whose operation made it; None for what is about the place itself."""
    operation_id: str | None = None
    pool: str | None = None
    """The pool at the place, where the operation has chosen one."""
    hangs_at: str = ""
    """The place whose threads it holds."""
    id: str = field(default_factory=new_id)
    since: float = field(default_factory=time.monotonic)
    """When the call began, on the monotonic clock."""


class Bulkheads:
    """Every place of a process, and what was left behind at them."""

    def __init__(self) -> None:
        self._places: dict[str, Bulkhead] = {}
        self.on_left: Callable[[Left], object] = lambda _: None
        """Told when a call is left behind."""
        self.on_back: Callable[[Left], object] = lambda _: None
        """Told when it comes back after all."""
        self.on_away: Callable[[str], object] = lambda _: None
        """Told the place of a call that goes on in another place's threads."""

    def at(self, place: str, parts: int = 1) -> "Bulkhead":
        """The bulkhead of a place, which has so many parts with threads of their own."""
        return self._places.setdefault(place, Bulkhead(place, self, parts))

    @property
    def left(self) -> Iterator[Left]:
        """Every call that was left behind and has not come back."""
        for one in tuple(self._places.values()):
            yield from tuple(one.left.values())  # at once: a transaction's thread may ask

    def is_about(self, things: Collection[str], place: str, pool: str | None = None) -> bool:
        """Whether a call about one of these was left behind at a place, and not in another pool."""
        return any(
            one.about in things and one.place == place and not (pool and one.pool and pool != one.pool)
            for one in self.left
        )

    def is_full(self, place: str) -> bool:
        """Whether so many calls hang at a place that another would hang as well."""
        it = self._places.get(place)
        return it is not None and sum(one.hangs_at == place for one in self.left) >= MOST // 2 * it.parts


class Bulkhead:
    """A place with threads of its own."""

    def __init__(self, place: str, all_of_them: Bulkheads, parts: int = 1) -> None:
        self.place = place
        self.parts = parts
        self.threads = Threads(place)
        self.left: dict[asyncio.Future[Any], Left] = {}
        self._all = all_of_them

    async def call(
        self,
        call: str,
        work: Callable[[], Awaitable[T]],
        limit: asyncio.Timeout,
        *,
        about: str | None = None,
        operation_id: str | None = None,
        pool: str | None = None,
        within: "list[Bulkhead] | None" = None,
    ) -> T:
        """What comes of ``work``. Raises ``TimeoutError`` at its limit, whatever becomes of it.

        ``within`` tells where it is at any moment: in the threads of the last of these. Raises ``Retryable``
        when one like it was left behind: the second would hang as the first does.
        """
        like = (call, about, pool)
        if earlier := next((it for it in self.left.values() if (it.call, it.about, it.pool) == like), None):
            raise Retryable(NOT_BACK, f"{self.place} still hangs: {_since(earlier)}.")
        began = time.monotonic()
        task, within = self._begin(work, within)
        try:
            async with limit:
                await asyncio.wait({task})
        except (TimeoutError, asyncio.CancelledError):
            left = Left(self.place, call, about, operation_id, pool, within[-1].place, since=began)
            await self._cut(task, left)
            raise
        return self._result(call, task)

    def _begin(
        self, work: Callable[[], Awaitable[T]], within: "list[Bulkhead] | None" = None
    ) -> "tuple[asyncio.Future[T], list[Bulkhead]]":
        """Begin it here. The second is where it is at any moment: the last of these."""
        within = [] if within is None else within
        within.append(self)
        with in_threads_of(self.threads):
            token = _inside.set(within)
            task = asyncio.ensure_future(work())
            _inside.reset(token)
        return task, within

    @contextmanager
    def inside(self) -> Iterator[None]:
        """A part of a call is done here: in the threads of this place, and if it hangs, it hangs here.

        Raises ``Retryable`` while so much hangs here already that this would hang as well.
        """
        within = _inside.get()
        within = [] if within is None else within
        if self not in within and self._all.is_full(self.place):
            raise Retryable(NOT_BACK, f"It is {self.place}.")
        within.append(self)
        self._all.on_away(within[0].place)
        try:
            with in_threads_of(self.threads):
                yield
        finally:
            within.remove(self)

    def around(self, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """``work``, as a part of a call that is done ``inside``."""

        @wraps(work)
        async def within(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.inside():
                return await work(*args, **kwargs)

        return within

    def _result(self, call: str, task: asyncio.Future[T]) -> T:
        """A bug of a driver is trouble of its place, for whoever called."""
        try:
            return task.result()
        except (PumiceError, TimeoutError):
            raise
        except Exception as bug:
            logger.exception("driver.bug", place=self.place, call=call)
            raise Retryable("Something failed unexpectedly.", f"'{call}': {type(bug).__name__}: {bug}") from bug

    async def call_patiently(self, call: str, work: Callable[[], Awaitable[T]], seconds: float) -> T:
        """What comes of ``work``, however long it takes; after ``seconds`` it is told as one that hangs.

        A caller that is cancelled goes, whatever becomes of it.
        """
        task, within = self._begin(work)
        began = time.monotonic()
        try:
            await asyncio.wait({task}, timeout=seconds)
            if not task.done():
                left = Left(self.place, call, None, hangs_at=within[-1].place, since=began)
                self._leave(task, left)
                await asyncio.wait({task})
            return self._result(call, task)
        finally:
            task.cancel()
            task.add_done_callback(_looked_at)

    async def _cut(self, task: asyncio.Future[T], left: Left) -> None:
        """Have it let go; note it when it does not."""
        task.cancel()
        task.add_done_callback(_looked_at)
        try:
            await asyncio.wait({task}, timeout=CUT_SECONDS)
        finally:
            if not task.done():
                self._leave(task, left)

    def _leave(self, task: asyncio.Future[T], left: Left) -> None:
        self.left[task] = left
        logger.error("call.left_behind", place=self.place, call=left.call, about=left.about)
        task.add_done_callback(self._came_back)
        self._all.on_left(left)

    def _came_back(self, task: asyncio.Future[Any]) -> None:
        left = self.left.pop(task)
        logger.warning(
            "call.came_back",
            place=self.place,
            call=left.call,
            about=left.about,
            seconds=round(time.monotonic() - left.since, 1),
        )
        self._all.on_back(left)

    def walled(self, driver: Driver) -> Driver:
        """The driver, whose calls are made within this bulkhead, each with a limit."""
        return cast(Driver, _Walled(driver, self))


class _Walled:
    def __init__(self, driver: object, bulkhead: Bulkhead) -> None:
        self._driver = driver
        self._bulkhead = bulkhead

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._driver, name)
        if not iscoroutinefunction(attribute):
            return attribute

        @wraps(attribute)
        async def within(*args: Any, **kwargs: Any) -> Any:
            if _inside.get() is not None:
                return await self._bulkhead.around(attribute)(*args, **kwargs)
            seconds = LOOK_SECONDS if name in LOOKS else CHANGE_SECONDS
            call = " ".join((name, *(arg for arg in args if isinstance(arg, str))))
            try:
                return await self._bulkhead.call(
                    call, lambda: attribute(*args, **kwargs), asyncio.timeout(seconds)
                )
            except TimeoutError:
                raise Retryable(
                    f"There was no answer within {seconds:g} seconds.", f"Of {self._bulkhead.place}."
                ) from None

        return within


def _looked_at(task: asyncio.Future[Any]) -> None:
    """Look at a task's error, so that asyncio does not report it as forgotten."""
    if not task.cancelled():
        task.exception()


def _since(left: Left) -> str:
    return f"'{left.call}' did not come back in {time.monotonic() - left.since:.0f} seconds"

"""Run something again and again, whatever happens to a single run."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator

import structlog

from pumice.model.errors import PumiceError, in_full
from pumice.store.database import MISSED, Database

logger = structlog.get_logger(__name__)


async def every(seconds: float, work: Callable[[], Awaitable[object]], name: str) -> None:
    """Run ``work`` now and every ``seconds``, a little unevenly. A run that fails is logged, no more."""
    while True:
        await _try(work, name)
        await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311


async def whenever(
    db: Database, told: str, work: Callable[[], Awaitable[object]], name: str, *, seconds: float | None = None
) -> None:
    """Run ``work`` now and whenever the topic ``told`` is notified, or may have been; and every ``seconds``."""
    heard = asyncio.Event()
    stop = db.subscribe(lambda topic: heard.set() if topic in (told, MISSED) else None)
    try:
        while True:
            heard.clear()
            await _try(work, name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await heard.wait()
    finally:
        stop()


async def _try(work: Callable[[], Awaitable[object]], name: str) -> None:
    try:
        await work()
    except Exception as error:
        tell_failure("loop.failed", error, loop=name)


def tell_failure(event: str, error: Exception, **what: str) -> None:
    """Log what failed in a sentence where the error is one; a bug's with where it came from."""
    reasons = list(_reasons(error))
    is_bug = not all(isinstance(one, PumiceError) for one in reasons)
    told = " ".join(dict.fromkeys(map(in_full, reasons)))
    logger.error(event, **what, error=told, exc_info=error if is_bug else None)


def _reasons(error: Exception) -> Iterator[Exception]:
    if not isinstance(error, ExceptionGroup):
        yield error
        return
    for each in error.exceptions:
        yield from _reasons(each)

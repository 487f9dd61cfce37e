"""Run something again and again, whatever happens to a single run."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

logger = structlog.get_logger(__name__)


async def every(seconds: float, work: Callable[[], Awaitable[object]], name: str) -> None:
    """Run ``work`` now and every ``seconds``, a little unevenly. A run that fails is logged, no more."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("loop.failed", loop=name)
        await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311

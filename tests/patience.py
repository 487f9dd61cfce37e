"""How long tests wait for what must come: so long that only a fault is met by it, however busy the machine is.

Whoever waits looks again every few milliseconds, so that the limit costs nothing where all is well.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Iterator
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 400.0 if os.environ.get("TEST_KERNEL_LANE") else 180.0
"""Seconds. A guest's processor is emulated."""


def looks() -> Iterator[None]:
    """When to look again at what takes a request, for as long as it is asked.

    Each time after eight times as long as the last look took, as it may be the processor that is waited for,
    and half a second at most.
    """
    while True:
        began = time.monotonic()
        yield
        time.sleep(min(max(0.05, 8 * (time.monotonic() - began)), 0.5))


def patience() -> asyncio.Timeout:
    """Raises ``TimeoutError`` when what is awaited inside does not come."""
    return asyncio.timeout(PATIENCE)


async def soon(awaited: Awaitable[T]) -> T:
    """What is awaited. Raises ``TimeoutError`` when it does not come."""
    async with patience():
        return await awaited

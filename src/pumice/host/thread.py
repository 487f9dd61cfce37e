"""Run blocking work in a thread that is never left behind.

A thread cannot be interrupted. A caller that is cancelled and goes away while its thread still works would
let go of its locks too early, and the thread would finish something that somebody else has begun to undo. So
a cancelled caller first waits for the thread; long work is handed a ``stop`` event to look at between steps.
"""

import asyncio
import threading
from asyncio import Future
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


async def in_thread(
    work: Callable[[*Arguments], Result], *arguments: *Arguments, stop: threading.Event | None = None
) -> Result:
    """``work(*arguments)`` in a thread of the event loop's pool.

    When the caller is cancelled, ``stop`` is set, the thread is waited for, and its result is dropped.
    """
    working = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    return await to_the_end(working, stop.set if stop else None)


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

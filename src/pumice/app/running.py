"""Run what a command does outside, and end when that is done, whatever hangs.

``asyncio.run`` waits for every task that is left. One that was left behind at a disk that hangs would keep a
command that has told all it found until that disk is back (``host/bulkhead.py``).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from pumice.host.bulkhead import CUT_SECONDS

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """What comes of the work. What it has left behind is cut, and then waited for no more."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=CUT_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.set_exception_handler(lambda *_: None)  # it would tell of tasks that go with it
        loop.close()

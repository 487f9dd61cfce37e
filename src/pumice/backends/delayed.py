"""Any driver, made slow: for tests of what happens while a driver takes its time.

Half of the delay comes before a call and half after it, so that a process that dies during the call has done
the work or has not.
"""

import asyncio
import functools
import inspect
from typing import Any, TypeVar, cast

Driver = TypeVar("Driver")


def slow(driver: Driver, delay: float) -> Driver:
    """A driver that behaves as this one, with calls that take ``delay`` seconds longer."""
    return cast(Driver, _Slow(driver, delay)) if delay else driver


class _Slow:
    def __init__(self, driver: object, delay: float) -> None:
        self._driver = driver
        self._delay = delay

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._driver, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        @functools.wraps(attribute)
        async def slowly(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(self._delay / 2)
            result = await attribute(*args, **kwargs)
            await asyncio.sleep(self._delay / 2)
            return result

        return slowly

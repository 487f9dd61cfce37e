"""Turns at the kernel's configuration: one call at a time on this machine, each with a limit.

A thread of its own makes the calls of a driver, one after the other. Another process of Pumice on the machine
(there may be one for every state directory) waits at a lock in ``/run/lock``, which the kernel gives back when
its holder dies. A call the kernel does not end in time is left behind in its thread, and whoever comes after it
is told so as well.
"""

import asyncio
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pumice.host.thread import Threads
from pumice.model.errors import Misconfigured, Retryable

T = TypeVar("T")

_LOCKS = Path("/run/lock")


class KernelTurn:
    """The turns of the driver ``name``; ``seconds`` is the limit of a call, the wait for its turn included."""

    def __init__(self, name: str, seconds: float = 60.0) -> None:
        self._name = name
        self._seconds = seconds
        self._thread = Threads(name, 1)

    async def take(self, call: Callable[[], T]) -> T:
        """Make the call when it is its turn. Raises ``Retryable`` when it took too long."""
        turn = self._thread.run(self._locked, call)
        try:
            return await asyncio.wait_for(asyncio.shield(turn), self._seconds)
        except TimeoutError:
            raise Retryable(
                f"The kernel did not export or withdraw the volume within {self._seconds:g} seconds.",
                f"It was asked by '{self._name}'; its log ('dmesg') may tell why.",
            ) from None

    def _locked(self, call: Callable[[], T]) -> T:
        try:
            lock = (_LOCKS / f"pumice-{self._name}").open("w")
        except OSError as error:
            raise Misconfigured(f"The target driver '{self._name}' must run as root: {error}") from None
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return call()

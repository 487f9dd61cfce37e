"""The line to libvirtd: calls that block, made from threads, each with a limit; reopened when it was lost.

    work -> thread -> libvirtd                          the usual way
    work -> thread -> lost -> open -> thread -> again   libvirtd was restarted: once, then ``Retryable``

So work may run twice, and must be written for that. A call that hangs is left behind in its thread, which is
why these are daemon threads and no executor's: the end of the process never waits for them.
"""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from pumice.model.errors import Misconfigured, PumiceError, Retryable

log = structlog.get_logger(__name__)

T = TypeVar("T")

Connection = Any
"""``libvirt.virConnect``, which has no types."""

_AT_ONCE = 4  # libvirtd serves five requests of one client at a time

_ISCSI = "iSCSI: "
_LOCKED = re.compile(r'Failed to get (shared )?"[\w ]+" lock')
_LOGIN_REFUSED = "Authentication failure"
_MAY_PASS = (
    "iSCSI: Failed to connect",
    "cannot acquire state change lock",
    "domain is not running",
    "Connection refused",
    "attempt to add duplicate property",
    "Duplicate nodes with node-name",
    "Duplicate device ID",
)
"""Words of libvirt and QEMU for what another try may cure: a target that is restarting, a domain that is busy,
or one that ended between a look at it and the call: the next try sees that it is off.

The last three: a libvirtd was killed in the middle of an attach (``qemu_leftovers``).
"""


INSTALL = (
    "apt-get install python3-libvirt, for Debian's own Python in an environment that sees it "
    "(venv --system-site-packages); for any other apt-get install gcc pkg-config python3-dev libvirt-dev, and "
    "pip install 'pumice[libvirt]'"
)
"""How Python's module is had, from a wheel as well as in a clone."""


def load() -> Any:
    """The ``libvirt`` module; only who drives libvirt needs it installed."""
    try:
        import libvirt
    except ImportError:
        raise Misconfigured(
            f"Python's libvirt module is missing: {INSTALL}; or choose another hypervisor driver."
        ) from None
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints to standard error
    return libvirt


class LibvirtConnection:
    """A connection to libvirtd, opened at its first use; ``find`` says where, and starts it if need be."""

    def __init__(self, find: Callable[[], Awaitable[str]]) -> None:
        self._find = find
        self._connection: Connection = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def call(self, work: Callable[[Connection], T], timeout: float = 30) -> T:
        """What ``work`` returns when given the connection, from a thread, within ``timeout`` seconds.

        Raises ``Retryable`` or ``PumiceError`` with libvirt's words; errors of Pumice pass through.
        """
        libvirt = load()
        connection = await self._open()
        try:
            try:
                return await self._in_thread(lambda: work(connection), timeout)
            except libvirt.libvirtError:
                if connection.isAlive():
                    raise
                log.info("connection to libvirtd lost, opening it again")
                connection = await self._open()
                return await self._in_thread(lambda: work(connection), timeout)
        except libvirt.libvirtError as error:
            raise (
                explained(error) if connection.isAlive() else Retryable("The hypervisor went away.", str(error))
            ) from error

    def close(self) -> None:
        """Hang up; the next call opens again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _open(self) -> Connection:
        libvirt = load()
        async with self._opening:
            if self._connection is None or not self._connection.isAlive():
                uri = await self._find()
                try:
                    self._connection = await self._in_thread(lambda: libvirt.open(uri), 15)
                except libvirt.libvirtError as error:
                    raise Retryable(
                        "The hypervisor does not answer.", f"libvirtd at {uri}: {error}."
                    ) from error
            return self._connection

    async def _in_thread(self, work: Callable[[], T], timeout: float) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if done.done():
                return  # the caller gave up waiting
            if error is None:
                done.set_result(result)  # type: ignore[arg-type]  # None is a T here
            else:
                done.set_exception(error)

        def body() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # carried over to the caller, whatever it is
                error = raised
            with suppress(RuntimeError):  # the loop was closed in the meantime: nobody asks any more
                loop.call_soon_threadsafe(settle, result, error)

        async with self._slots:
            threading.Thread(target=body, name="libvirt", daemon=True).start()
            try:
                async with asyncio.timeout(timeout):
                    return await done
            except TimeoutError:
                raise Retryable(f"The hypervisor did not answer within {timeout:g} seconds.") from None


def explained(error: Exception) -> PumiceError:
    """libvirt's error as one of ours, in its own words. It never holds a secret: it was never told one."""
    words = str(error)
    if _LOCKED.search(words):
        return Retryable("Another process uses the volume's file: QEMU's lock keeps a second writer out.")
    if _ISCSI in words:  # what stands before is QEMU's whole command
        words = words[words.rindex(_ISCSI) :]
    if any(sign in words for sign in _MAY_PASS) and _LOGIN_REFUSED not in words:
        return Retryable("The hypervisor met trouble.", words)
    return PumiceError("The hypervisor refused.", words)

"""Children that stand by: each answers one question at a time, for as long as its questions have answers.

For libraries whose calls may never come back. What would be a command for each call, and pay for its start and
for its meeting whatever it speaks to, is a program that has done so already. All else is as with a command:

* **A question that has no answer in time costs one child**, which is killed, and nobody else's question.
* **A caller that is cancelled has it killed as well**, and goes on when it has ended: nothing works on.
* **They die with this process**, even if it is killed (``host/command.py``).

A question and its answer are a line each, on the program's standard input, which is a socket. The program ends
by itself when that is closed, or when nobody has asked it for ``IDLE_SECONDS``, its last argument.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from pumice.host.command import CommandFailed, CommandTimedOut
from pumice.model.errors import Misconfigured

log = structlog.get_logger(__name__)

IDLE_SECONDS = 30
OLD_SECONDS = 300.0
"""What the program has read when it began (keys, addresses) is read anew after so long at the latest."""
_POLL = 0.002


class Standby:
    """The children of one program. As many are begun as are asked at once."""

    def __init__(self, *argv: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> None:
        """``env`` is added to this process's environment."""
        self._argv = [os.fspath(word) for word in argv]
        self._env = env or {}
        self._idle: list[_Child] = []

    @asynccontextmanager
    async def one(self, seconds: float) -> AsyncIterator["_Child"]:
        """A child that nobody else asks meanwhile. Whoever leaves by an exception has it killed.

        Raises ``CommandTimedOut`` after ``seconds``, ``CommandFailed`` when the child ends without an answer,
        and ``Misconfigured`` when there is no such program.
        """
        child = self._take()
        try:
            async with asyncio.timeout(seconds):
                yield child
        except TimeoutError:
            raise CommandTimedOut(
                f"There was no answer within {seconds:g} seconds.", f"It is {self._argv[0]}."
            ) from None
        else:
            if time.monotonic() - child.since < OLD_SECONDS:
                self._idle.append(child)
                return
        finally:
            if child not in self._idle:
                await child.end()

    def _take(self) -> "_Child":
        self._idle = [child for child in self._idle if child.is_there]
        return self._idle.pop() if self._idle else _Child(self._argv, self._env)


class _Child:
    """One process, and our end of its socket."""

    def __init__(self, argv: list[str], env: Mapping[str, str]) -> None:
        if shutil.which(argv[0]) is None:
            raise Misconfigured(f"The command '{argv[0]}' is not installed; 'pumice doctor' tells how.")
        self.since = time.monotonic()
        self._argv = argv
        self._socket, theirs = socket.socketpair()
        words = ["setpriv", "--pdeathsig", "KILL", "--", *argv, str(IDLE_SECONDS)]
        environment = {**os.environ, "LC_ALL": "C", **env}
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                words,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # a group of its own, to be killed as one
            )
        self._socket.setblocking(False)
        self._forget = weakref.finalize(self, _end_now, self._process, self._socket)
        log.debug("standby.begun", command=argv, process=self._process.pid)

    @property
    def is_there(self) -> bool:
        """Whether it still stands by."""
        return self._process.poll() is None

    async def ask(self, question: bytes) -> bytes:
        """The answer of the child to a line, a line as well."""
        loop = asyncio.get_running_loop()
        pieces = []
        with suppress(BrokenPipeError, ConnectionResetError):
            await loop.sock_sendall(self._socket, question + b"\n")
            while piece := await loop.sock_recv(self._socket, 1 << 16):
                pieces.append(piece)
                if piece.endswith(b"\n"):
                    return b"".join(pieces)
        raise CommandFailed(self._argv, self._process.poll() or 0, "it ended without an answer")

    async def end(self) -> None:
        """Kill it, and wait until it has ended."""
        _kill(self._process)
        while self.is_there:
            await asyncio.sleep(_POLL)
        self._forget()


def _end_now(process: "subprocess.Popen[bytes]", connection: socket.socket) -> None:
    """End the process of a child that was forgotten, so that nothing is left of it."""
    connection.close()
    _kill(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

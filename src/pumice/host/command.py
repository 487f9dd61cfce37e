"""Run a command: argument list, never a shell; with a time limit; killed with the caller.

The one place where Pumice starts short-lived child processes. They die with this process, even if it is killed:
what nobody waits for must not go on writing. One that is killed takes along whatever it started. A child that
the kernel does not let end is waited for: whoever cannot wait leaves the call behind (``bulkhead.py``).

``setpriv`` and ``prlimit`` (util-linux) see to it that they die with us, and not a ``preexec_fn``: that runs
Python between fork and exec, and made a start ten times as slow.
"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from structlog.contextvars import get_contextvars

from pumice.model.errors import Misconfigured, Retryable

log = structlog.get_logger(__name__)


class CommandFailed(Retryable):
    """The command ended with an exit code other than 0; ``stderr`` and ``output`` hold its words."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str, output: str = "") -> None:
        words = f"{argv[0]} failed with exit code {code}: {stderr.strip()[-500:] or 'no message'}"
        super().__init__("A command failed on the host.", words)
        self.code = code
        self.stderr = stderr
        self.output = output


class CommandTimedOut(Retryable):
    """The command did not end within its time limit and was killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a child that handles untrusted bytes. CPU in seconds, memory in bytes."""

    cpu_seconds: int
    memory_bytes: int


async def run(
    *argv: str | os.PathLike[str],
    timeout: float,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    limits: Limits | None = None,
    on_output: Callable[[bytes], None] | None = None,
    public: bool = False,
    outlives_us: bool = False,
    keep_open: Sequence[int] = (),
    farewell: float = 0.0,
) -> str:
    """Run ``argv`` and return its standard output as text.

    ``env`` is added to this process's environment; ``stdin`` is what the command reads, also as ``/dev/stdin``;
    ``timeout`` is in seconds; ``on_output`` is given the output piece by piece as it comes. Who calls
    it ``public`` promises that no word of the command line is a secret: else only the command's name is logged.
    With ``outlives_us`` the command goes on to its end when this process is killed; ``keep_open`` are file
    descriptors that it inherits, such as that of a lock it then still holds. One that is cut has ``farewell``
    seconds after a SIGTERM before it is killed; when this process is killed, nobody is there to do that. The
    child finds the request in its environment, as ``OS_REQUEST_ID``, and the operation it is for.
    Raises ``CommandFailed``, ``CommandTimedOut``, or ``Misconfigured`` when there is no such command.
    """
    words = [os.fspath(word) for word in argv]
    if shutil.which(words[0]) is None:
        raise Misconfigured(f"The command '{words[0]}' is not installed; 'pumice doctor' tells how.")
    began = time.monotonic()
    given = _in_memory(stdin) if stdin is not None else None
    try:
        process = await _started(
            *([] if outlives_us else ["setpriv", "--pdeathsig", "TERM" if farewell else "KILL", "--"]),
            *(
                ["prlimit", f"--cpu={limits.cpu_seconds}", f"--as={limits.memory_bytes}", "--"]
                if limits
                else []
            ),
            *words,
            stdin=asyncio.subprocess.DEVNULL if given is None else given,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C", **_errand(), **(env or {})},
            pass_fds=keep_open,
            start_new_session=True,  # a group of its own, to be killed as one
        )
    finally:
        if given is not None:
            os.close(given)
    try:
        async with asyncio.timeout(timeout):
            output, errors = await _communicate(process, on_output)
    except TimeoutError:
        raise CommandTimedOut(
            f"A command did not end within {timeout:g} seconds.", f"It is {words[0]}."
        ) from None
    finally:
        if process.returncode is None:
            if farewell:
                await _ends(process, farewell)
            _kill(process)
            await process.wait()
        log.debug(
            "command.ended",
            command=words if public else words[:1],
            process=process.pid,
            code=process.returncode,
            seconds=round(time.monotonic() - began, 3),
        )
    told = output.decode(errors="replace")
    if process.returncode != 0:
        raise CommandFailed(words, process.returncode or 0, errors.decode(errors="replace"), told)
    return told


async def _started(*words: str, **how: Any) -> asyncio.subprocess.Process:
    """The process. A caller that is cancelled while it is being made leaves nothing of it behind."""
    making = asyncio.ensure_future(asyncio.create_subprocess_exec(*words, **how))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        with suppress(OSError):  # it could not be made
            process = await making
            _kill(process)
            await process.wait()
        raise


async def launch(
    *argv: str | os.PathLike[str], log_file: Path, timeout: float, env: Mapping[str, str] | None = None
) -> None:
    """Run a command that leaves a daemon behind; what either writes is appended to ``log_file``.

    Not to a pipe: a daemon may hold on to its end of one for ever, and nobody would see the command's end.
    Raises as ``run`` does.
    """
    words = [os.fspath(word) for word in argv]
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        begin = os.fstat(output).st_size
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
        )
    except FileNotFoundError:
        raise Misconfigured(f"The command '{words[0]}' is not installed; 'pumice doctor' tells how.") from None
    finally:
        os.close(output)
    try:
        async with asyncio.timeout(timeout):
            code = await process.wait()
    except TimeoutError:
        raise CommandTimedOut(
            f"A command did not end within {timeout:g} seconds.", f"It is {words[0]}."
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code != 0:
        raise CommandFailed(words, code, log_file.read_bytes()[begin:].decode(errors="replace"))


async def _ends(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Ask a command to end, and give it some time."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a command, its group, and its descendants in groups of their own."""
    for pid in _descendants(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    """Every process that ``pid`` started, and those that these started: the deepest come last."""
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split()):
                yield from (child, *_descendants(child))


@contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """A file for as long as a command needs it: one of those that it is to ``keep_open``."""
    file = _in_memory(content)
    try:
        yield file
    finally:
        os.close(file)


def _in_memory(content: bytes) -> int:
    """A file that is nowhere but in memory, to be somebody's standard input.

    Not a pipe: the event loop makes a socket of it, and a socket cannot be opened as ``/dev/stdin``.
    """
    file = os.memfd_create("stdin", os.MFD_CLOEXEC)
    os.write(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _errand() -> dict[str, str]:
    """The environment that tells for whom a command runs, as far as the log's context knows."""
    context = get_contextvars()
    told = {"OS_REQUEST_ID": context.get("request_id"), "PUMICE_OPERATION_ID": context.get("operation")}
    return {name: value for name, value in told.items() if value}


async def _communicate(
    process: asyncio.subprocess.Process, on_output: Callable[[bytes], None] | None
) -> tuple[bytes, bytes]:
    if on_output is None:
        return await process.communicate()
    assert process.stdout is not None and process.stderr is not None

    async def pump(stream: asyncio.StreamReader) -> bytes:
        kept = b""
        while piece := await stream.read(4096):
            on_output(piece)
            kept = (kept + piece)[-65536:]
        return kept

    output, errors = await asyncio.gather(pump(process.stdout), process.stderr.read())
    await process.wait()
    return output, errors

"""Run a command: argument list, never a shell; with a time limit; killed with the caller.

The one place where Pumice starts short-lived child processes. They die with this process, even if it is killed:
what nobody waits for must not go on writing. ``setpriv`` and ``prlimit`` (util-linux) see to it, and not a
``preexec_fn``: that runs Python between fork and exec, and made a start ten times as slow.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from pumice.model.errors import Misconfigured, Trouble

log = structlog.get_logger(__name__)


class CommandFailed(Trouble):
    """The command ended with an exit code other than 0; ``stderr`` holds its own words."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"{argv[0]} failed with exit code {code}: {stderr.strip()[-500:] or 'no message'}")
        self.code = code
        self.stderr = stderr


class CommandTimedOut(Trouble):
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
    outlives_us: bool = False,
    keep_open: Sequence[int] = (),
) -> str:
    """Run ``argv`` and return its standard output as text.

    ``env`` is added to this process's environment; ``timeout`` is in seconds; ``on_output`` is given the
    output piece by piece as it comes. With ``outlives_us`` the command goes on to its end when this process is
    killed; ``keep_open`` are file descriptors that it inherits, such as that of a lock it then still holds. The
    words on the command line are not logged: they may be secrets.
    Raises ``CommandFailed``, ``CommandTimedOut``, or ``Misconfigured`` when there is no such command.
    """
    words = [os.fspath(word) for word in argv]
    if shutil.which(words[0]) is None:
        raise Misconfigured(f"The command '{words[0]}' is not installed; 'pumice doctor' tells how.")
    process = await asyncio.create_subprocess_exec(
        *([] if outlives_us else ["setpriv", "--pdeathsig", "KILL", "--"]),
        *(["prlimit", f"--cpu={limits.cpu_seconds}", f"--as={limits.memory_bytes}", "--"] if limits else []),
        *words,
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        pass_fds=keep_open,
    )
    try:
        async with asyncio.timeout(timeout):
            output, errors = await _communicate(process, stdin, on_output)
    except TimeoutError:
        raise CommandTimedOut(f"{words[0]} did not end within {timeout:g} seconds and was killed.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CommandFailed(words, process.returncode or 0, errors.decode(errors="replace"))
    return output.decode(errors="replace")


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
        raise CommandTimedOut(f"{words[0]} did not end within {timeout:g} seconds and was killed.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code != 0:
        raise CommandFailed(words, code, log_file.read_bytes()[begin:].decode(errors="replace"))


async def _communicate(
    process: asyncio.subprocess.Process, stdin: bytes | None, on_output: Callable[[bytes], None] | None
) -> tuple[bytes, bytes]:
    if on_output is None:
        return await process.communicate(stdin)
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

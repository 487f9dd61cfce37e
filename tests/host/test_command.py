"""Children end when they should: with the caller, with this process, or, if told so, at their own end."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.in_full import says
from tests.patience import patience

from pumice.host.command import CommandFailed, CommandTimedOut, Limits, run
from pumice.model.errors import Misconfigured
from pumice.model.units import MIB

_PARENT = """
import asyncio, sys
from pumice.host.command import run
outlives = sys.argv[2] == "outlives"
file = sys.argv[1]
wait = f"for n in $(seq 5000); do [ -e {file}.end ] && break; sleep 0.05; done"
script = f"echo $$ >{file}.pid; {wait}; echo done >{file}"
asyncio.run(run("sh", "-c", script, timeout=60, outlives_us=outlives))
"""


async def killed_in_the_middle(file: Path, outlives: str) -> Path:
    """Kill -9 a process that runs a command; returns the command's entry in /proc."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, str(file), outlives)
    noted = Path(f"{file}.pid")
    async with patience():
        while not (noted.exists() and noted.read_text().strip()):
            await asyncio.sleep(0.01)
    parent.kill()
    assert await parent.wait() == -signal.SIGKILL
    return Path("/proc") / noted.read_text().strip()


def ended(process: Path) -> bool:
    """Gone, or waiting for init to notice."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("outlives", ["outlives", "dies"])
async def test_a_command_dies_with_a_killed_process_unless_it_must_not(tmp_path: Path, outlives: str) -> None:
    file = tmp_path / "file"
    process = await killed_in_the_middle(file, outlives)
    if outlives == "outlives":
        Path(f"{file}.end").touch()
    async with patience():
        while not ended(process):
            await asyncio.sleep(0.01)
    assert file.exists() == (outlives == "outlives")


async def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(Misconfigured, match="'no-such-command' is not installed"):
        await run("no-such-command", timeout=10)


async def test_a_command_that_fails_is_told_with_its_own_words() -> None:
    with pytest.raises(CommandFailed, match="A command failed") as told:
        await run("sh", "-c", "echo out of luck >&2; exit 3", timeout=10)
    assert told.value.detail == "sh failed with exit code 3: out of luck"


async def test_limits_and_times_hold(tmp_path: Path) -> None:
    hog = "bytearray(512 * 1024**2)"
    with pytest.raises(CommandFailed, check=says("MemoryError")):
        await run(sys.executable, "-c", hog, timeout=60, limits=Limits(10, 256 * MIB))
    with pytest.raises(CommandTimedOut):
        await run("sleep", "3600", timeout=0.2)


async def test_a_command_that_is_cut_while_it_is_started_leaves_no_children(tmp_path: Path) -> None:
    mark = f"{tmp_path}/sleep"
    os.symlink("/bin/sleep", mark)
    for turns in range(12):  # of the event loop, until it is cut
        running = asyncio.create_task(run("sh", "-c", f"{mark} 3600 & wait", timeout=3600))
        for _ in range(turns):
            await asyncio.sleep(0.002)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
    async with patience():
        while [line for line in _command_lines() if mark in line]:
            await asyncio.sleep(0.01)


def _command_lines() -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")


@pytest.mark.parametrize("starter", ["sh -c", "setsid sh -c"])
async def test_a_command_that_is_cut_takes_its_children_along(tmp_path: Path, starter: str) -> None:
    noted, said = tmp_path / "pid", list[bytes]()
    script = f"{starter} 'echo $$ >{noted}; echo begun; sleep 3600; :' & wait"
    running = asyncio.create_task(run("sh", "-c", script, timeout=3600, on_output=said.append))
    async with patience():
        while not said:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})  # which does not wait for the children's own end
    child = Path("/proc") / noted.read_text().strip()
    async with patience():
        while not ended(child):
            await asyncio.sleep(0.01)

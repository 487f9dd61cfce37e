"""Children end when they should: with the caller, with this process, or, if told so, at their own end."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest

from pumice.host.command import CommandFailed, CommandTimedOut, Limits, run
from pumice.model.errors import Misconfigured
from pumice.model.units import MIB

_PARENT = """
import asyncio, sys
from pumice.host.command import run
outlives = sys.argv[2] == "outlives"
script = f"echo $$ >{sys.argv[1]}.pid; sleep 1; echo done >{sys.argv[1]}"
asyncio.run(run("sh", "-c", script, timeout=60, outlives_us=outlives))
"""


async def killed_in_the_middle(file: Path, outlives: str) -> Path:
    """Kill -9 a process that runs a command; returns the command's entry in /proc."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, str(file), outlives)
    noted = Path(f"{file}.pid")
    async with asyncio.timeout(60):
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
    async with asyncio.timeout(60):
        while not ended(process):
            await asyncio.sleep(0.01)
    assert file.exists() == (outlives == "outlives")


async def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(Misconfigured, match="'no-such-command' is not installed"):
        await run("no-such-command", timeout=10)


async def test_a_command_that_fails_is_told_with_its_own_words() -> None:
    with pytest.raises(CommandFailed, match="sh failed with exit code 3: out of luck"):
        await run("sh", "-c", "echo out of luck >&2; exit 3", timeout=10)


async def test_limits_and_times_hold(tmp_path: Path) -> None:
    hog = "bytearray(512 * 1024**2)"
    with pytest.raises(CommandFailed, match="MemoryError"):
        await run(sys.executable, "-c", hog, timeout=60, limits=Limits(10, 256 * MIB))
    begun = time.monotonic()
    with pytest.raises(CommandTimedOut):
        await run("sleep", "60", timeout=0.2)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("starter", ["sh -c", "setsid sh -c"])
async def test_a_command_that_is_cut_takes_its_children_along(tmp_path: Path, starter: str) -> None:
    noted = tmp_path / "pid"
    script = f"{starter} 'echo $$ >{noted}; sleep 60; :' & wait"
    async with asyncio.timeout(10):  # its end is not waited for
        with pytest.raises(CommandTimedOut):
            await run("sh", "-c", script, timeout=0.5)
    child = Path("/proc") / noted.read_text().strip()
    async with asyncio.timeout(10):
        while not ended(child):
            await asyncio.sleep(0.01)

"""Children that answer questions: what one costs that does not, and what is left of it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.patience import PATIENCE, patience

from pumice.host import standby
from pumice.host.command import CommandFailed, CommandTimedOut
from pumice.host.standby import Standby
from pumice.model.errors import Misconfigured

_PROGRAM = """\
import os, socket, subprocess, time

lines = socket.socket(fileno=0).makefile("rwb")
while line := lines.readline():
    word = line.decode().strip()
    if word == "hang":
        subprocess.run(["sleep", "600"])
    if word == "die":
        os._exit(3)
    lines.write(f"{os.getpid()} {word}\\n".encode() if word != "much" else b"x" * 1_000_000 + b"\\n")
    lines.flush()
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (it := tmp_path / "program.py").write_text(_PROGRAM)
    return it


@pytest.fixture
def children(program: Path) -> Standby:
    return Standby(sys.executable, "-I", "-S", program)


async def ask(children: Standby, word: str, seconds: float = PATIENCE) -> str:
    async with children.one(seconds) as child:
        return (await child.ask(word.encode())).decode()


async def pid_of(children: Standby) -> int:
    return int((await ask(children, "who")).split()[0])


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def works_in_group(pid: int) -> list[str]:
    """The processes of a group that have not ended."""
    words = ["pgrep", "-g", str(pid), "-r", "D,R,S"]
    return subprocess.run(words, capture_output=True, text=True).stdout.split()


async def test_one_child_answers_question_after_question(children: Standby) -> None:
    first = await pid_of(children)
    assert len(await ask(children, "much")) == 1_000_001
    assert await pid_of(children) == first


async def test_those_who_ask_at_once_have_a_child_each(children: Standby) -> None:
    async with children.one(PATIENCE) as one, children.one(PATIENCE) as two:
        answers = await asyncio.gather(one.ask(b"who"), two.ask(b"who"))
    assert len(set(answers)) == 2


async def test_one_that_hangs_costs_its_own_question_and_is_gone_with_all_it_started(children: Standby) -> None:
    async with children.one(PATIENCE) as other:
        pid = await pid_of(children)
        with pytest.raises(CommandTimedOut):
            await ask(children, "hang", 0.2)
        assert not is_there(pid)
        assert b"well" in await other.ask(b"well")
    assert await pid_of(children) != pid
    assert not works_in_group(pid)


async def test_a_caller_that_is_cancelled_goes_on_when_nothing_works_any_more(children: Standby) -> None:
    pid = await pid_of(children)
    asking = asyncio.create_task(ask(children, "hang"))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not is_there(pid)


async def test_one_that_dies_is_told_and_replaced(children: Standby) -> None:
    with pytest.raises(CommandFailed, match="failed"):
        await ask(children, "die")
    pid = await pid_of(children)
    os.kill(pid, signal.SIGKILL)
    async with patience():
        while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            await asyncio.sleep(0.01)
    assert await pid_of(children) != pid, "who died while nobody asked is not asked"


async def test_what_a_child_has_read_when_it_began_is_read_anew_in_time(
    children: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "OLD_SECONDS", 0.0)
    assert await pid_of(children) != await pid_of(children)


async def test_nothing_is_left_of_what_nobody_knows_any_more(program: Path) -> None:
    children = Standby(sys.executable, "-I", "-S", program)
    pid = await pid_of(children)
    del children
    assert not is_there(pid)


def test_it_dies_with_a_process_that_is_killed(program: Path) -> None:
    asks = (
        "import asyncio, os, sys\n"
        "from pumice.host.standby import Standby\n"
        "async def main():\n"
        "    async with Standby(sys.executable, '-I', '-S', sys.argv[1]).one(60) as child:\n"
        "        print((await child.ask(b'who')).decode(), flush=True)\n"
        "        os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    killed = subprocess.run([sys.executable, "-c", asks, program], stdout=subprocess.PIPE)
    pid = int(killed.stdout.split()[-2])
    give_up = time.monotonic() + PATIENCE
    while is_there(pid):
        assert time.monotonic() < give_up
        time.sleep(0.01)


async def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(Misconfigured, match="no-such-program"):
        await ask(Standby("no-such-program"), "who")

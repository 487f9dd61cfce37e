"""``python -m benchmarks.profile``: where the time goes, of what a user asks for.

Pumice is started as for the other figures, one thing is asked of it again and again, and each of its processes
is looked at many times a second (py-spy, as root) for what holds Python's lock. Printed is the CPU of each
process for one such thing, and what of it was in which part: a library, or a folder of Pumice's. *Own* is what
its functions computed themselves, *with all below* what they took until they returned.

    python -m benchmarks.profile "a volume is created" --postgresql --clients 8
"""

import argparse
import asyncio
import itertools
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks import measures, trips
from benchmarks.client import Connection
from benchmarks.postgres import served
from benchmarks.serving import Serving, cpu_of, family

LOOKS = 200
"""In a second."""
LEAST = 0.01
"""Parts and functions of less than this are left out."""
_PLACE = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(:\d+)?\)$")


@dataclass
class Profile:
    """What one process did: how many looks found it where."""

    looks: int
    own: Counter[str]
    with_all_below: Counter[str]
    functions: Counter[str]

    @classmethod
    def of(cls, lines: Iterator[str]) -> "Profile":
        """From py-spy's lines: frames from the outermost to the innermost, and how many looks found these."""
        found = cls(0, Counter(), Counter(), Counter())
        for line in lines:
            frames, _, number = line.rpartition(" ")
            places = [_PLACE.match(frame) for frame in frames.split(";")]
            known = [(place["function"], part(place["file"])) for place in places if place]
            if not known:
                continue
            looks = int(number)
            found.looks += looks
            found.own[known[-1][1]] += looks
            found.with_all_below.update(dict.fromkeys({of for _, of in known}, looks))
            ours = {
                f"{of}: {function}" for function, of in known if of.startswith("pumice/") and of != "pumice/app"
            }
            found.functions.update(dict.fromkeys(ours, looks))
        return found


def part(file: str) -> str:
    """``pumice/store`` of a file of Pumice's, else the library."""
    words = file.split("/")
    if words[0] == "pumice":
        return "/".join(words[: min(2, len(words) - 1)])
    return words[0].removesuffix(".py")


async def measure(serving: Serving, name: str, clients: int, seconds: float, functions: int) -> None:
    """Ask, look, and print."""
    async with measures.clients(serving, clients) as by:
        each = [(one, (await trips.lines(one))[name]) for one in by]
        await _ask(each, 1)  # what is done once for all is not meant
        processes = list(itertools.chain.from_iterable(family(it.pid) for it in serving.processes.values()))
        before = {process: cpu_of(process) for process in processes}
        with tempfile.TemporaryDirectory(prefix="pumice-profile-") as directory:
            spies = [await _look(process, Path(directory), seconds) for process in processes]
            done = await _ask(each, seconds)
            computed = {process: (cpu_of(process) - before[process]) / done * 1000 for process in processes}
            for spy in spies:
                await spy.wait()
            print(f"{name}: {done} times by {clients} at once, {sum(computed.values()):.1f} ms of CPU each\n")
            for process in processes:
                file = Path(directory) / str(process)
                if file.exists():
                    show(process, computed[process], Profile.of(iter(file.read_text().splitlines())), functions)


async def _look(process: int, directory: Path, seconds: float) -> asyncio.subprocess.Process:
    py_spy = Path(sys.executable).with_name("py-spy")
    words = ["record", "--gil", "-f", "raw", "-r", str(LOOKS), "-d", str(int(seconds)), "-p", str(process)]
    quiet = asyncio.subprocess.DEVNULL
    file = str(directory / str(process))
    return await asyncio.create_subprocess_exec(py_spy, *words, "-o", file, stdout=quiet, stderr=quiet)


async def _ask(each: list[tuple[Connection, trips.Work]], seconds: float) -> int:
    """Ask for so long; how often it was done."""
    loop = asyncio.get_running_loop()
    ends, done = loop.time() + seconds, 0

    async def again(one: Connection, work: trips.Work) -> None:
        nonlocal done
        while loop.time() < ends:
            await work(one)
            done += 1

    await asyncio.gather(*(again(one, work) for one, work in each))
    return done


def show(process: int, computed: float, found: Profile, functions: int) -> None:
    """Print what one process did."""
    role = Path(f"/proc/{process}/comm").read_text().strip()
    print(f"{role} ({process}): {computed:.1f} ms of CPU each, {found.looks} looks")
    rows = [(part, own, found.with_all_below[part]) for part, own in found.own.most_common()]
    print("         own   with all below")
    for name, own, below in rows:
        if own >= LEAST * found.looks:
            print(f"  {own / found.looks:9.0%} {below / found.looks:12.0%}     {name}")
    for name, below in found.functions.most_common(functions):
        print(f"            {below / found.looks:12.0%}     {name}")
    print(flush=True)


async def main(given: argparse.Namespace) -> None:
    """Start a Pumice, measure it, and stop it."""
    async with served(given.postgresql) as (serving, _):
        await measure(serving, given.what, given.clients, given.seconds, given.functions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", default="a volume is created", help="a line of benchmarks.trips")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL, a process for each role")
    parser.add_argument("--clients", type=int, default=8, help="who ask at once")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--functions", type=int, default=12, help="how many of Pumice's functions are shown")
    uvloop.run(main(parser.parse_args()))

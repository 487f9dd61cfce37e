"""``python -m benchmarks``: measure one Pumice process and print what it reaches beside the incumbent."""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import figures, measures
from benchmarks.serving import Serving

STARTS = 5


async def main(volumes: int) -> None:
    """Run every measurement on fresh state and print the table."""
    console, before = Console(width=120), os.getloadavg()[0]
    reached: measures.Figures = {}
    with tempfile.TemporaryDirectory(prefix="pumice-benchmark-") as temporary:
        state = Path(temporary)
        reached["first_start"] = await first_answer([state / f"{number}" for number in range(STARTS)])
        reached["later_start"] = await first_answer([state / "0"] * STARTS)
        async with Serving(state / "measured") as serving:
            await asyncio.sleep(2)
            reached["pss_start"], reached["rss_start"] = serving.memory()
            await serving.log_in()
            for measure in (measures.creating, measures.until_available, measures.attaching, measures.reading):
                console.print(f"{measure.__name__} …", style="dim")
                reached |= await measure(serving)
            if volumes:
                console.print(f"paging through {volumes} volumes …", style="dim")
                reached |= await measures.paging(serving, volumes)
            reached["pss_load"], reached["rss_load"] = serving.memory()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    machine += f"; load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    console.print(figures.table(reached, f"One Pumice process, all roles in it ({machine})"))


async def first_answer(states: list[Path]) -> float:
    """The median of the seconds to the first answer, one start for each of these state directories."""
    taken = []
    for state in states:
        async with Serving(state) as serving:
            taken.append(serving.first_answer)
    return statistics.median(taken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--volumes", type=int, default=20_000, help="length of the long list; 0 leaves it out")
    uvloop.run(main(parser.parse_args().volumes))

"""``python -m benchmarks``: measure Pumice on SQLite and on PostgreSQL, and print what it reaches."""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

import uvloop
from rich.console import Console

from benchmarks import bare, figures, measures
from benchmarks.postgres import Postgres
from benchmarks.serving import EACH, ONE, Serving

STARTS = 5
IDLE_SECONDS = 20
CREATES = 320
CONSOLE = Console(width=120)
COLUMNS = ("serve, SQLite", "serve, PostgreSQL", "a process for each role")


async def main(volumes: int, wanted: list[str]) -> None:
    """Run every measurement on fresh state and print the table."""
    before, reached = os.getloadavg()[0], {"bare minimum": await bare.figures()}
    with tempfile.TemporaryDirectory(prefix="pumice-benchmark-") as temporary:
        state = Path(temporary)
        sqlite, one, each = COLUMNS
        if sqlite in wanted:
            reached[sqlite] = {
                "first_start": await first_answer([state / f"{number}" for number in range(STARTS)]),
                "later_start": await first_answer([state / "0"] * STARTS),
                **await measured(Serving(state / "measured"), volumes),
            }
        for column, roles in ((one, ONE), (each, EACH)):
            if column in wanted:
                postgres = await asyncio.to_thread(Postgres)
                try:
                    serving = Serving(state / roles[-1], roles, postgres.fresh())
                    reached[column] = await measured(serving, 0, postgres)
                finally:
                    postgres.close()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    machine += f"; load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    CONSOLE.print(figures.table(reached, f"Pumice ({machine})"))


async def measured(serving: Serving, volumes: int, postgres: Postgres | None = None) -> measures.Figures:
    """Start it and measure it, with a list as long as ``volumes`` if that is not 0."""
    reached: measures.Figures = {}
    async with serving:
        await serving.log_in()
        await asyncio.sleep(2)
        reached["pss_start"] = sum(serving.memory().values())
        if postgres:
            reached |= await from_outside(serving, postgres)
        for measure in (measures.creating, measures.until_available, measures.attaching, measures.reading):
            CONSOLE.print(f"{measure.__name__} …", style="dim")
            reached |= await measure(serving)
        if volumes:
            CONSOLE.print(f"paging through {volumes} volumes …", style="dim")
            reached |= await measures.paging(serving, volumes)
        memory: Mapping[str, float] = serving.memory()
    return reached | {"pss_load": sum(memory.values())} | {f"pss_{role}": it for role, it in memory.items()}


async def from_outside(serving: Serving, postgres: Postgres) -> measures.Figures:
    """What the database is asked when nothing happens, and what a create costs it."""
    CONSOLE.print("idle …", style="dim")
    await asyncio.sleep(10)
    before = postgres.statements()
    await asyncio.sleep(IDLE_SECONDS)
    idle = (postgres.statements() - before) / IDLE_SECONDS
    async with measures.clients(serving, 8) as all_of_them:
        before, cpu = postgres.statements(), postgres.cpu()
        await measures.rate(all_of_them, measures.create, CREATES)
        await measures.quiet(all_of_them[0])
        asked, cpu = postgres.statements() - before, postgres.cpu() - cpu
    return {
        "idle": idle,
        "create_statements": asked / CREATES,
        "create_database_cpu": cpu / CREATES * 1000,
    }


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
    parser.add_argument("--only", choices=COLUMNS, action="append", help="a column; more than once for several")
    asked = parser.parse_args()
    uvloop.run(main(asked.volumes, asked.only or list(COLUMNS)))

"""``python -m benchmarks.scale``: what users and loops cost in a small cloud and in a large one.

A PostgreSQL is filled twice, and each time all roles are started on it and driven over HTTP; then each loop's
work is done once more in this process. What is counted is the processor's time, of the services and the
database together: it depends little on what else the machine does. A line that grows says with what.
"""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from benchmarks import measures
from benchmarks.filling import Size, backlog, statements
from benchmarks.postgres import Postgres
from benchmarks.serving import EACH, Serving
from pumice.app import node
from pumice.app.settings import Settings
from pumice.loops import audit
from pumice.operations.places import volume_host
from pumice.store import attachments, clock, ownership, work_queue
from pumice.store import operations as log
from pumice.store.database import Database, Transaction
from pumice.store.inventory import inventory
from pumice.store.part import Part
from pumice.store.queue_stats import queue_stats

CONSOLE = Console(width=120)
SMALL = 1_000
TIMES = 20
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Line:
    """What is measured."""

    name: str
    often: str = ""
    grows: str = ""
    """With what, and why that is right."""


LINES = {
    "create": Line("create a volume, until it is available"),
    "attach": Line("attach it and let it go again, four calls"),
    "gone": Line("delete it, until it is gone"),
    "show": Line("show a volume"),
    "page": Line("list a hundred of the project's volumes"),
    "start": Line("a worker's start: free what its host held before"),
    "outlook": Line("a worker's look whether there is something to do", "15 s"),
    "claim": Line("claim eight of what waits at a place"),
    "heartbeat": Line("a host's heartbeat", "10 s"),
    "exports": Line("read a sixteenth of a host's exports", "15 s", "the host's own volumes"),
    "bytes": Line("read a sixteenth of what bytes a host has", "60 s", "the host's own volumes"),
    "deadlines": Line("look for what is overdue", "10 s", "what is under way"),
    "waiting": Line("look for what waits at a host that is down", "15 s", "what is under way"),
    "hosts": Line("look for hosts that are gone", "15 s"),
    "abandoned": Line("look for what clients left halfway", "60 s"),
    "prune": Line("forget a thousand old operations", "5 min", "nothing: they lie apart"),
    "metrics": Line("count everything for a monitor", "its own", "everything: it is counted"),
    "rows": Line("compare all rows, in a read that blocks nobody", "5 min", "everything: it is compared"),
}


def size_of(volumes: int) -> Size:
    """A pool has a hundred volumes, a host ten thousand."""
    return Size(volumes, volumes * 10, max(volumes // 100, 1), max(volumes // 10_000, 1))


async def main(volumes: int) -> None:
    """Measure both, and print the table."""
    load = os.getloadavg()[0]
    small, large = await measured(size_of(SMALL)), await measured(size_of(volumes))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    CONSOLE.print(f"{machine}; load {load:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    print(table(small, large, volumes))


def table(small: measures.Figures, large: measures.Figures, volumes: int) -> str:
    """As Markdown."""
    rows = [
        "| what, in ms of the processor | every | at 1,000 volumes | at "
        + f"{volumes:,} | times | grows with |\n|---|---|--:|--:|--:|---|"
    ]
    for key, line in LINES.items():
        ratio = large[key] / small[key]
        figures = f"{small[key]:.1f} | {large[key]:.1f} | {ratio:.1f}"
        rows.append(f"| {line.name} | {line.often} | {figures} | {line.grows} |")
    return "\n".join(rows)


async def measured(size: Size) -> measures.Figures:
    """Fill a database and measure what is done on it."""
    postgres = await asyncio.to_thread(Postgres)
    try:
        url, began = postgres.fresh(), time.monotonic()
        for statement in statements(size):
            await asyncio.to_thread(postgres.server.sql, statement, postgres.name)
        CONSOLE.print(f"{size}: filled in {time.monotonic() - began:.0f} s", style="dim")
        with tempfile.TemporaryDirectory(prefix="pumice-scale-") as directory:
            async with Serving(Path(directory), EACH, url) as serving:
                await serving.log_in()
                figures = await by_users(serving, postgres)
            for statement in backlog(size, max(size.volumes // 100, 100), volume_host("full0@b")):
                await asyncio.to_thread(postgres.server.sql, statement, postgres.name)
            return figures | await by_loops(Path(directory), url, postgres)
    finally:
        postgres.close()


async def by_users(serving: Serving, postgres: Postgres) -> measures.Figures:
    """What is asked over HTTP, one at a time."""
    cost = Cost(lambda: serving.cpu() + postgres.cpu())
    async with measures.clients(serving, 1) as (one,):
        volume = await measures.available(one)
        path = f"{measures.VOLUMES}/{volume}"

        async def show() -> None:
            (await one.ask("GET", path)).expect(200)

        made: list[str] = []

        async def create() -> None:
            made.append(await measures.create(one))

        async def delete() -> None:
            (await one.ask("DELETE", f"{measures.VOLUMES}/{made.pop()}")).expect(202)

        return {
            "create": await cost.of(create, 200, lambda: measures.quiet(one)),
            "attach": await cost.of(lambda: measures.cycle(one, volume), 100),
            "show": await cost.of(show, 1000),
            "page": await cost.of(lambda: measures.page(one, 100), 200),
            "gone": await cost.of(delete, 200, lambda: measures.quiet(one, "deleting")),
        }


@dataclass(frozen=True, slots=True)
class Cost:
    """Measures the processor's time: ``used`` says the seconds so far, in steps of a hundredth."""

    used: Callable[[], float]

    async def of(
        self,
        do: Callable[[], Awaitable[object]],
        times: int,
        end: Callable[[], Awaitable[object]] | None = None,
    ) -> float:
        """Milliseconds for each time that ``do`` is done; ``end`` waits for what it has begun."""
        await do()
        before = self.used()
        for _ in range(times):
            await do()
        if end is not None:
            await end()
        return max(self.used() - before, 0.01) / times * 1000


class Undone(Exception):
    """Raised in a transaction that shall leave everything as it was."""


async def by_loops(directory: Path, url: str, postgres: Postgres) -> measures.Figures:
    """What each loop does, once the services have stopped."""
    fake: Any = {"driver": "fake", "target": "fake"}
    settings = Settings(
        state_dir=directory / "loops",
        database_url=url,
        host="here",
        backends={"fake": fake},
        compute={"driver": "fake"},
    )
    whole = await node.build(settings)
    db, place = whole.db, volume_host("full0@b")
    asked, part = work_queue.Asked([place], "scale:1"), Part(frozenset(), "7")
    try:
        for backend in whole.drivers.backends.values():
            await backend.pools()
        work: dict[str, Callable[[], Awaitable[object]]] = {
            "start": undone(db, work_queue.release_earlier, "here", "here:1"),
            "outlook": lambda: db.read(work_queue.look, asked, clock.time()),
            "claim": undone(db, work_queue.claim, asked, clock.time(), 30.0, 8),
            "heartbeat": whole.hearts().send,
            "exports": lambda: db.read(attachments.exported_at, ["full0@b"], part),
            "bytes": lambda: db.read(ownership.bytes_at, "full0@b", part),
            **{name: whole.loops()[name][1] for name in ("deadlines", "waiting", "hosts")},
            **{look.name: whole.repairs()[look].run for look in audit.SHARED if look is not audit.HOSTS},
            "prune": undone(db, log.prune, 7 * DAY),
            "metrics": lambda: db.read(lambda tx: (queue_stats(tx, clock.time()), inventory(tx))),
        }
        cost = Cost(lambda: time.process_time() + postgres.cpu())
        return {name: await cost.of(do, 3 if name == "rows" else TIMES) for name, do in work.items()}
    finally:
        await db.close()


def undone(db: Database, work: Callable[..., object], *args: object) -> Callable[[], Awaitable[object]]:
    """A transaction that is rolled back."""

    def roll_back(tx: Transaction) -> None:
        work(tx, *args)
        raise Undone

    async def run() -> None:
        try:
            await db.write(roll_back)
        except Undone:
            return

    return run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--volumes", type=int, default=20_000, help="and ten operations for each")
    uvloop.run(main(parser.parse_args().volumes))

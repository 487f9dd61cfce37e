"""``python -m benchmarks.crowd``: whether more clients than Pumice can serve at once make it slower.

8, 32, 128 and 512 clients ask as fast as they are answered: for volumes, for one volume's details, and for
cycles of attaching, each client to a volume of its own. Whoever is told to come again (503 with
``Retry-After``, or 429) comes again, and it is counted; any other refusal ends the run. *Run again* is
how many of PostgreSQL's transactions, for each piece of work, met another and were run again. A time is that
of one whole request or cycle, with the times it was told to come again.
"""

import argparse
import asyncio
import resource
import statistics
import time
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks.client import Answer, Connection
from benchmarks.measures import CONNECTOR, V3, VOLUMES, available, clients, quiet
from benchmarks.postgres import Postgres, served
from benchmarks.serving import Serving

CROWDS = (8, 32, 128, 512)
SECONDS = 8.0
AGAIN_SECONDS = 0.5
"""When who was told to come again comes again: sooner than they were told, as a bad client would."""


class Crowd:
    """Clients that ask again and again for a while."""

    def __init__(self) -> None:
        self.times: list[float] = []
        """Milliseconds of each whole piece of work."""
        self.told_to_come_again = 0

    async def ask(self, client: Connection, method: str, path: str, body: object = None) -> Answer:
        """Ask until it is done."""
        while (answer := await client.ask(method, path, body)).status in (429, 503):
            if not answer.header("Retry-After"):
                answer.expect(200)
            self.told_to_come_again += 1
            await asyncio.sleep(AGAIN_SECONDS)
        return answer.expect(200, 202, 204)

    async def run(self, by: list[Connection], work: "Work", volumes: dict[Connection, str]) -> float:
        """How often per second the work is done while all do it."""
        ends = time.perf_counter() + SECONDS

        async def again(client: Connection) -> None:
            while (began := time.perf_counter()) < ends:
                await work(self, client, volumes[client])
                self.times.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        await asyncio.gather(*(again(client) for client in by))
        return len(self.times) / (time.perf_counter() - began)


Work = Callable[[Crowd, Connection, str], Awaitable[object]]


async def show(crowd: Crowd, client: Connection, volume: str) -> None:
    """The details of its volume."""
    await crowd.ask(client, "GET", f"{VOLUMES}/{volume}")


async def create(crowd: Crowd, client: Connection, _: str) -> None:
    """A new volume."""
    await crowd.ask(client, "POST", VOLUMES, {"volume": {"size": 1}})


async def attach(crowd: Crowd, client: Connection, volume: str) -> None:
    """Reserve, connect, complete and delete an attachment of its volume."""
    asked = {"attachment": {"volume_uuid": volume}}
    made = (await crowd.ask(client, "POST", f"{V3}/attachments", asked)).json()["attachment"]
    path = f"{V3}/attachments/{made['id']}"
    await crowd.ask(client, "PUT", path, {"attachment": {"connector": CONNECTOR}})
    await crowd.ask(client, "POST", f"{path}/action", {"os-complete": {}})
    await crowd.ask(client, "DELETE", path)


async def measure(serving: Serving, postgres: Postgres | None) -> None:
    """A line for each kind of work and each number of clients."""
    async with clients(serving, max(CROWDS)) as everybody:
        volumes = {client: await available(client) for client in everybody}
        for work in (show, create, attach):
            best = 0.0
            for number in CROWDS:
                crowd, before = Crowd(), postgres.conflicts() if postgres else 0
                rate = await crowd.run(everybody[:number], work, volumes)
                best = max(best, rate)
                p50, p99 = statistics.median(crowd.times), statistics.quantiles(crowd.times, n=100)[-1]
                again = (postgres.conflicts() - before) / len(crowd.times) if postgres else 0
                print(
                    f"{work.__name__:8}{number:5} clients {rate:8.1f}/s ({rate / best:4.0%} of the best)"
                    f"  p50 {p50:8.1f} ms  p99 {p99:8.1f} ms  told to come again {crowd.told_to_come_again}"
                    f"  run again {again:.2f}",
                    flush=True,
                )
                await quiet(everybody[0])


async def main(on_postgres: bool) -> None:
    """Start a Pumice, measure it, and stop it."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    async with served(on_postgres) as (serving, postgres):
        await measure(serving, postgres)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL, a process for each role")
    uvloop.run(main(parser.parse_args().postgresql))

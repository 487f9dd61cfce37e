"""``python -m benchmarks.waiting``: what clients cost that wait for a change, and how soon each is told.

Each of ``--waiters`` clients has a volume of its own, and a request with ``Prefer: wait`` under way. First
nothing happens; then one volume after the other is renamed, and the time is taken from the rename's answer to
the waiter's. Then a client follows a volume from create to available, by waiting and by polling each second.
"""

import argparse
import asyncio
import os
import resource
import statistics
import time
from typing import Any

import uvloop

from benchmarks.client import Connection, connect
from benchmarks.postgres import served
from benchmarks.serving import Serving

IDLE_SECONDS = 30.0
CREATES = 20
PREFER = "wait=60"


async def main(waiters: int, on_postgres: bool) -> None:
    """Measure, and print a line for each figure."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    limits = {"HTTP__CONNECTIONS": waiters * 2, "API__MOST_WAITING": waiters, "API__PROJECT_WAITING": waiters}
    os.environ |= {f"PUMICE_{name}": str(value) for name, value in limits.items()}
    async with served(on_postgres) as (serving, _):
        await measure(serving, waiters)


async def measure(serving: Serving, waiters: int) -> None:
    """All figures of one running Pumice."""
    client = await connect(serving.port, serving.headers)
    volumes = [await made(client, f"v{number}") for number in range(waiters)]
    before = sum(serving.memory().values())
    connections = [await connect(serving.port, serving.headers) for _ in volumes]
    answered: dict[str, float] = {}
    tasks = []
    for connection, volume in zip(connections, volumes, strict=True):
        tag = (await client.ask("GET", f"/volume/v3/volumes/{volume}")).expect(200).header("ETag")
        connection.headers += f"Prefer: {PREFER}\r\nIf-None-Match: {tag}\r\n"
        tasks.append(asyncio.create_task(wait(connection, volume, answered)))
    await asyncio.sleep(2)
    cpu = serving.cpu()
    await asyncio.sleep(IDLE_SECONDS)
    print(f"waiters {waiters}, of which answered early {sum(task.done() for task in tasks)}")
    print(f"CPU while nothing happens: {(serving.cpu() - cpu) / IDLE_SECONDS:.2%} of a core")
    print(f"memory for them: {sum(serving.memory().values()) - before:.0f} MiB")
    late = []
    for number, volume in enumerate(volumes[:200]):
        body = {"volume": {"name": f"w{number}"}}
        (await client.ask("PUT", f"/volume/v3/volumes/{volume}", body)).expect(200)
        at = time.perf_counter()
        while volume not in answered:
            await asyncio.sleep(0.0002)
        late.append((answered[volume] - at) * 1000)
    late.sort()
    print(f"told after its change: median {statistics.median(late):.1f} ms, most {late[-1]:.1f} ms")
    for task in tasks:
        task.cancel()
    for connection in connections:
        connection.close()
    print(f"create to available, waiting: {await follow(serving, waits=True)}")
    print(f"create to available, polling each second: {await follow(serving, waits=False)}")


async def made(client: Connection, name: str) -> str:
    """A volume that is available."""
    body = {"volume": {"size": 1, "name": name}}
    reply: Any = (await client.ask("POST", "/volume/v3/volumes", body)).expect(202).json()
    path = f"/volume/v3/volumes/{reply['volume']['id']}"
    while (await client.ask("GET", path)).expect(200).json()["volume"]["status"] != "available":
        await asyncio.sleep(0.002)
    return str(reply["volume"]["id"])


async def wait(connection: Connection, volume: str, answered: dict[str, float]) -> None:
    """Wait once, and note when the answer came."""
    (await connection.ask("GET", f"/volume/v3/volumes/{volume}")).expect(200)
    answered[volume] = time.perf_counter()


async def follow(serving: Serving, *, waits: bool) -> str:
    """How long it takes, and how many requests, until a client knows that its volume is available."""
    took, asked = [], 0
    for number in range(CREATES if waits else 5):
        client = await connect(serving.port, serving.headers)
        plain, began = client.headers, time.perf_counter()
        body = {"volume": {"size": 1, "name": f"f{number}"}}
        made = (await client.ask("POST", "/volume/v3/volumes", body)).expect(202).json()["volume"]["id"]
        while True:
            reply = (await client.ask("GET", f"/volume/v3/volumes/{made}")).expect(200, 304)
            asked += 1
            if reply.status == 200 and reply.json()["volume"]["status"] == "available":
                break
            if waits:
                client.headers = f"{plain}Prefer: {PREFER}\r\nIf-None-Match: {reply.header('ETag')}\r\n"
            else:
                await asyncio.sleep(1)
        took.append((time.perf_counter() - began) * 1000)
        client.close()
    return f"median {statistics.median(took):.0f} ms, {asked / len(took):.1f} requests"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiters", type=int, default=1000)
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL, a process for each role")
    asked = parser.parse_args()
    uvloop.run(main(asked.waiters, asked.postgresql))

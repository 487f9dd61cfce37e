"""The measurements, one function per group of figures. Each takes a running Pumice and answers figures by name.

Times are medians over many requests, one after the other; rates are medians over runs with a quiet moment
before each, so that none pays for the operations of the one before.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import TypeVar

from benchmarks.client import Connection
from benchmarks.serving import Serving

V3 = "/volume/v3"
VOLUMES = f"{V3}/volumes"
SERVER = "4cbfd2a6-4e4b-44e4-8b9d-3a4a3a1d4c2b"
CONNECTOR = {"initiator": "iqn.2010-10.org.openstack:benchmark", "ip": "127.0.0.1", "host": "benchmark"}
LOOK_SECONDS = 0.001
RUNS = 5
WARMING_UP = 3

Figures = dict[str, float]
T = TypeVar("T")


async def creating(serving: Serving) -> Figures:
    """Create: one at a time, then by many, with the CPU that a volume costs until it is available."""
    async with clients(serving, 32) as all_of_them:
        one = all_of_them[0]
        figures = {"create": await median_ms(lambda: create(one), 200)}
        await quiet(one)
        cpu, made = serving.cpu(), 0
        for clients_at_once in (8, 32):
            rates = []
            for _ in range(RUNS):
                rates.append(await rate(all_of_them[:clients_at_once], create, 320))
                await quiet(one)
                made += 320
            figures[f"create_{clients_at_once}"] = statistics.median(rates)
        return figures | {"create_cpu": (serving.cpu() - cpu) / made * 1000}


async def until_available(serving: Serving) -> Figures:
    """From the request for a volume or a snapshot to what was asked for, and from a delete to nothing left."""

    async def volume(client: Connection) -> None:
        await reaches(client, f"{VOLUMES}/{await create(client)}", "volume", "available")

    async with clients(serving, 16) as all_of_them:
        one = all_of_them[0]
        figures = {"available": await median_ms(lambda: volume(one), 200)}
        times: list[float] = []
        await rate(all_of_them, timed(volume, times), 320)
        figures["available_16"] = statistics.median(times)
        figures["available_16_p99"] = statistics.quantiles(times, n=100)[-1]
        volume_id = await available(one)

        async def snapshot() -> None:
            asked = {"snapshot": {"volume_id": volume_id}}
            made = (await one.ask("POST", f"{V3}/snapshots", asked)).expect(202).json()["snapshot"]
            await reaches(one, f"{V3}/snapshots/{made['id']}", "snapshot", "available")

        if await served(one, f"{V3}/snapshots"):
            figures["snapshot"] = await median_ms(snapshot, 100)
        doomed = iter([await available(one) for _ in range(100 + WARMING_UP)])
        return figures | {"gone": await median_ms(lambda: delete(one, next(doomed)), 100)}


async def attaching(serving: Serving) -> Figures:
    """The cycle of the attachments API: reserve, connect, complete, delete; and the six older actions."""
    async with clients(serving, 8) as all_of_them:
        volumes = {client: await available(client) for client in all_of_them}
        one = all_of_them[0]

        async def its_cycle(client: Connection) -> None:
            await cycle(client, volumes[client])

        figures = {"attach": await median_ms(lambda: its_cycle(one), 100)}
        cpu = serving.cpu()
        figures["attach_8"] = statistics.median([await rate(all_of_them, its_cycle, 160) for _ in range(RUNS)])
        figures["attach_cpu"] = (serving.cpu() - cpu) / (160 * RUNS) * 1000
        if await served(one, f"{VOLUMES}/{volumes[one]}/action"):
            figures["actions"] = await median_ms(lambda: older_cycle(one, volumes[one]), 100)
        return figures


async def reading(serving: Serving) -> Figures:
    """Show, and lists of full volumes."""
    async with clients(serving, 8) as all_of_them:
        one = all_of_them[0]
        path = f"{VOLUMES}/{await available(one)}"

        async def show(client: Connection) -> None:
            (await client.ask("GET", path)).expect(200)

        figures = {"show": await median_ms(lambda: show(one), 1000)}
        cpu = serving.cpu()
        figures["show_8"] = statistics.median([await rate(all_of_them, show, 4000) for _ in range(RUNS)])
        figures["show_cpu"] = (serving.cpu() - cpu) / (4000 * RUNS) * 1000
        for limit in (100, 1000):
            figures[f"detail_{limit}"] = await median_ms(partial(page, one, limit), 50)
        return figures


async def paging(serving: Serving, volumes: int) -> Figures:
    """What a page costs at the start, in the middle and at the end of a long list."""
    async with clients(serving, 32) as all_of_them:
        one = all_of_them[0]
        figures = {"sustained": await rate(all_of_them, create, volumes - await how_many(one))}
        await quiet(one)
        markers: list[str | None] = [None]
        while ids := await page(one, 100, markers[-1]):
            markers.append(ids[-1])
        ends = {"start": markers[0], "middle": markers[len(markers) // 2], "end": markers[-3]}
        for where, marker in ends.items():
            figures[f"page_{where}"] = await median_ms(partial(page, one, 100, marker), 50)
        return figures


# --- how it is measured -------------------------------------------------------------------------


@asynccontextmanager
async def clients(serving: Serving, number: int) -> AsyncIterator[list[Connection]]:
    """So many connections, used for nothing else."""
    async with AsyncExitStack() as open_ones:
        made = [await serving.client() for _ in range(number)]
        for client in made:
            open_ones.callback(client.close)
        yield made


async def median_ms(work: Callable[[], Awaitable[object]], times: int) -> float:
    """The median of the milliseconds that ``work`` takes, one at a time."""
    for _ in range(WARMING_UP):
        await work()
    taken: list[float] = []
    for _ in range(times):
        await timed(lambda _: work(), taken)(None)
    return statistics.median(taken)


def timed(work: Callable[[T], Awaitable[object]], taken: list[float]) -> Callable[[T], Awaitable[None]]:
    """``work``, which also notes the milliseconds it took."""

    async def run(it: T) -> None:
        began = time.perf_counter()
        await work(it)
        taken.append((time.perf_counter() - began) * 1000)

    return run


async def rate(by: list[Connection], work: Callable[[Connection], Awaitable[object]], times: int) -> float:
    """How often per second ``work`` is done when every client does it again and again, ``times`` in all."""
    left = count(times, -1)

    async def again(client: Connection) -> None:
        while next(left) > 0:
            await work(client)

    began = time.perf_counter()
    await asyncio.gather(*(again(client) for client in by))
    return times / (time.perf_counter() - began)


async def create(client: Connection) -> str:
    """Ask for a volume; its id."""
    answer = (await client.ask("POST", VOLUMES, {"volume": {"size": 1}})).expect(202)
    return str(answer.json()["volume"]["id"])


async def available(client: Connection) -> str:
    """A volume that is available; its id."""
    volume_id = await create(client)
    await reaches(client, f"{VOLUMES}/{volume_id}", "volume", "available")
    return volume_id


async def delete(client: Connection, volume_id: str) -> None:
    """Delete a volume, and wait until it is gone."""
    path = f"{VOLUMES}/{volume_id}"
    (await client.ask("DELETE", path)).expect(202)
    await reaches(client, path, "volume", None)


async def cycle(client: Connection, volume_id: str) -> None:
    """Reserve, connect, complete and delete an attachment; what a server has only a service deletes."""
    asked = {"attachment": {"volume_uuid": volume_id}}
    made = (await client.ask("POST", f"{V3}/attachments", asked)).expect(200).json()["attachment"]
    path = f"{V3}/attachments/{made['id']}"
    (await client.ask("PUT", path, {"attachment": {"connector": CONNECTOR}})).expect(200)
    (await client.ask("POST", f"{path}/action", {"os-complete": {}})).expect(204)
    (await client.ask("DELETE", path)).expect(200)


async def older_cycle(client: Connection, volume_id: str) -> None:
    """The six older actions of attaching and detaching."""
    connector = {"connector": CONNECTOR}
    for name, about in (
        ("os-reserve", {}),
        ("os-initialize_connection", connector),
        ("os-attach", {"instance_uuid": SERVER, "mountpoint": "/dev/vdb"}),
        ("os-begin_detaching", {}),
        ("os-terminate_connection", connector),
        ("os-detach", {}),
    ):
        (await client.ask("POST", f"{VOLUMES}/{volume_id}/action", {name: about})).expect(200, 202)


async def reaches(client: Connection, path: str, key: str, status: str | None) -> None:
    """Look until the thing has this status; None: until it is gone."""
    while True:
        answer = (await client.ask("GET", path)).expect(200, 404)
        found = None if answer.status == 404 else answer.json()[key]["status"]
        if found == status:
            return
        if found is None or found.startswith("error"):
            raise AssertionError(f"{path} is {found}")
        await asyncio.sleep(LOOK_SECONDS)


async def quiet(client: Connection, status: str = "creating") -> None:
    """Until no volume is in this state."""
    while (await client.ask("GET", f"{VOLUMES}?status={status}&limit=1")).expect(200).json()["volumes"]:
        await asyncio.sleep(0.05)


async def page(client: Connection, limit: int, marker: str | None = None) -> list[str]:
    """The ids on one page of the detailed list."""
    after = f"&marker={marker}" if marker else ""
    answer = (await client.ask("GET", f"{VOLUMES}/detail?limit={limit}{after}")).expect(200)
    return [volume["id"] for volume in answer.json()["volumes"]]


async def how_many(client: Connection) -> int:
    """How many volumes there are."""
    answer = (await client.ask("GET", f"{VOLUMES}/summary")).expect(200)
    return int(answer.json()["volume-summary"]["total_count"])


async def served(client: Connection, path: str) -> bool:
    """Whether there is such a resource, whatever it says to a GET."""
    return (await client.ask("GET", path)).status != 404

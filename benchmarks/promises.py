"""``python -m benchmarks.promises [creates] [GiB of a volume] [MiB in it]``: what Block Storage promises.

* a backup to a directory beside ``qemu-img convert`` and ``zstd`` of the same bytes, and an incremental one
  after a hundredth has changed. Half of the bytes can be compressed; they lie in one place, or in 64
* how many creates are given a pool in a second, of ten thousand, with every default filter
* how long a retype takes that moves nothing, over HTTP
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import sqlalchemy as sa
import uvloop
from tests.scheduler.pools import a_pool

from benchmarks.client import connect
from benchmarks.postgres import served
from pumice.backends.backups import layout
from pumice.backends.backups.chunked import ChunkedBackups
from pumice.backends.backups.contract import POSIX, Record
from pumice.backends.backups.posix import PosixObjects
from pumice.catalog import volume_types
from pumice.model.ids import ProjectId, UserId, new_id
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.model.units import GIB, MIB
from pumice.operations.operation import from_row
from pumice.store import operations, schema, services, tables
from pumice.store.database import Transaction
from pumice.store.open import open_database
from pumice.volumes import create

POOLS = 10_000
ROUNDS = 3
RETYPES = 200
WHO = Scope(UserId("user"), ProjectId("project"), frozenset({"member"}), request_id="req-benchmark")


async def main(creates: int, gibibytes: int, mebibytes: int) -> None:
    """Measure, and print a line for each figure."""
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="pumice-benchmark-") as directory:
        for places in (1, 64):
            await backups(Path(directory), gibibytes, mebibytes, places)
        await decisions(Path(directory), creates)
    await retypes()


# --- backups -------------------------------------------------------------------------------------


async def backups(folder: Path, gibibytes: int, mebibytes: int, places: int) -> None:
    """By turns, each until its bytes are on disk."""
    volume = folder / "volume"
    await asyncio.to_thread(fill, volume, gibibytes, mebibytes, places)
    kept = folder / f"backups-{places}"
    kept.mkdir()
    store = ChunkedBackups(PosixObjects(kept), driver="posix", service=POSIX)
    ours, bare = list[float](), list[float]()
    records = [a_record(gibibytes) for _ in range(ROUNDS)]
    for record in records:
        bare.append(await timed(lambda: asyncio.to_thread(by_hand, volume, folder)))
        ours.append(await timed(lambda it=record: written(store, it, volume, None)))  # type: ignore[misc]
    full, took, reference = records[-1], median(ours), median(bare)
    print(f"backup of {gibibytes} GiB with {mebibytes} MiB in {places} place(s): {took:.2f} s")
    print(f"qemu-img convert and zstd of the same: {reference:.2f} s; {took / reference:.2f}x (goal 1.3)")
    change(volume, gibibytes, mebibytes // 100, places)
    later = replace(a_record(gibibytes), volume_id=full.volume_id, parent_id=full.id)
    took = await timed(lambda: written(store, later, volume, full))
    print(f"incremental after {mebibytes // 100} MiB changed: {took:.2f} s")


async def written(store: ChunkedBackups, record: Record, volume: Path, parent: Record | None) -> None:
    await store.write(record, volume, parent, lambda _: None)


def a_record(gibibytes: int) -> Record:
    """Of a backup that is to be made."""
    backup, volume, at = new_id(), new_id(), datetime.now(UTC).replace(tzinfo=None)
    prefix = layout.prefix_of(volume, backup, at)
    return Record(backup, volume, gibibytes * GIB, layout.container_for(backup, None), prefix, at)


def fill(volume: Path, gibibytes: int, mebibytes: int, places: int) -> None:
    """Write so much, in places that are far from each other; every other MiB is words."""
    piece, words = mebibytes // places, (b"all work and no play " * MIB)[:MIB]
    with volume.open("wb") as file:
        file.truncate(gibibytes * GIB)
        for place in range(places):
            file.seek(place * (gibibytes * GIB // places))
            for number in range(piece):
                file.write(os.urandom(MIB) if number % 2 else words)
        file.flush()
        os.fsync(file.fileno())


def change(volume: Path, gibibytes: int, mebibytes: int, places: int) -> None:
    """Write so much anew, a MiB at a time, where there was something."""
    with volume.open("r+b") as file:
        for number in range(mebibytes):
            place, depth = number % places, number // places
            file.seek(place * (gibibytes * GIB // places) + depth * MIB)
            file.write(os.urandom(MIB))


def by_hand(volume: Path, folder: Path) -> None:
    """What two commands take."""
    image, packed = folder / "image.qcow2", folder / "image.zst"
    words = ["qemu-img", "convert", "-W", "-m", "8", "-f", "raw", "-O", "qcow2", str(volume), str(image)]
    subprocess.run(words, check=True)
    subprocess.run(["zstd", "-q", "-f", str(image), "-o", str(packed)], check=True)
    subprocess.run(["sync", "-d", str(packed)], check=True)
    image.unlink()
    packed.unlink()


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """How many seconds it takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


# --- the scheduler -------------------------------------------------------------------------------


async def decisions(folder: Path, creates: int) -> None:
    """Accept that many creates, then choose a pool for each and claim its space: a transaction each."""
    url = f"sqlite:///{folder / 'pumice.db'}"
    await asyncio.to_thread(schema.upgrade, url)
    db, tunables = open_database(url), Tunables(quotas={})
    await db.write(volume_types.make_default, tunables)
    await db.write(many_pools)
    asked = [await db.write(create.accept, WHO, create.Wanted(size=1), tunables) for _ in range(creates)]
    rows = [await db.read(operations.get, volume.operation_id or "") for volume in asked]
    waiting = [from_row(create.CREATE, row) for row in rows if row is not None]
    began = time.perf_counter()
    for op in waiting:
        await db.write(create.claim_space, op, tunables)
    took = time.perf_counter() - began
    chosen = len({op.notes["pool"] for op in waiting})
    print(f"{creates} creates over {POOLS} pools: {creates / took:.0f} decisions/s (goal 300), {chosen} pools")
    await db.close()


def many_pools(tx: Transaction) -> None:
    """As many pools, each of a host that is up, and none as free as another."""
    hosts = [f"host-{number}@one" for number in range(POOLS)]
    for number, host in enumerate(hosts):
        pool = a_pool(f"{host}#pool", total_gb=100_000.0, free_gb=50_000.0 + number)
        tx.execute(sa.insert(tables.pools), asdict(pool))
    beats = [services.Heartbeat(services.VOLUME_BINARY, host, "nova") for host in hosts]
    for at in range(0, POOLS, 500):
        services.heartbeat(tx, beats[at : at + 500])


# --- retypes -------------------------------------------------------------------------------------


async def retypes() -> None:
    """One volume to and fro between two types, by one client."""
    async with served(on_postgres=False) as (serving, _):
        await serving.log_in("admin")
        client = await connect(serving.port, serving.headers)
        types = "/volume/v3/types"
        for name in ("one", "two"):
            (await client.ask("POST", types, {"volume_type": {"name": name}})).expect(200)
        body = {"volume": {"size": 1, "volume_type": "one"}}
        volume = (await client.ask("POST", "/volume/v3/volumes", body)).expect(202).json()["volume"]["id"]
        path = f"/volume/v3/volumes/{volume}"
        while (await client.ask("GET", path)).json()["volume"]["status"] != "available":
            await asyncio.sleep(0.01)
        took = []
        for number in range(RETYPES):
            wanted = {"os-retype": {"new_type": ("two", "one")[number % 2], "migration_policy": "never"}}
            began = time.perf_counter()
            (await client.ask("POST", f"{path}/action", wanted)).expect(202)
            took.append((time.perf_counter() - began) * 1000)
    print(f"retype that moves nothing: {median(took):.1f} ms (goal 10), 99 of 100 in {sorted(took)[-2]:.1f} ms")


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    uvloop.run(main(*words, *(10_000, 10, 1024)[len(words) :]))

"""Copies of a large sparse volume with little in it, beside ``qemu-img convert -W -m 8`` from and to the same.

    .venv/bin/python -m benchmarks.copies [GiB of the volume] [MiB in it] [rounds]    # as root

What is in the volume lies in 64 places, spread over all of it. Each way of a line is measured by turns, until
what was written is on disk. A move is what a migration does between two backends: the copy with its digest.
*Proved* is the second half of that, which qemu-img has nothing of: the copy is read back and compared.
"""

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import structlog
from rich.console import Console
from rich.table import Table
from tests.ceph.conftest import make_user
from tests.ceph_cluster import CephCluster, own_cluster

from benchmarks.image_cache import an_xfs
from pumice.backends import replica
from pumice.backends.contract import Backend, no_progress
from pumice.backends.files import FilesBackend
from pumice.backends.rbd import RbdBackend
from pumice.backends.rbd_images import Cluster
from pumice.model.ids import VolumeId, new_id
from pumice.model.units import GIB, MIB

PLACES = 64
POOL = "pool"


def fill(file: Path, gibibytes: int, mebibytes: int) -> None:
    """Write so much, in places that are far from each other."""
    piece = mebibytes * MIB // PLACES
    with file.open("r+b") as opened:
        for place in range(PLACES):
            opened.seek(place * (gibibytes * GIB // PLACES))
            opened.write(os.urandom(piece))
        opened.flush()
        os.fsync(opened.fileno())


def converted(source: Path, *target: str) -> None:
    """What qemu-img takes alone; a file is on disk afterwards."""
    words = ["qemu-img", "convert", "-W", "-m", "8", "-f", "raw", "-O", "raw", str(source), *target]
    subprocess.run(words, check=True)
    if Path(target[-1]).exists():
        subprocess.run(["sync", "-d", target[-1]], check=True)
        Path(target[-1]).unlink()


async def moved(source: Backend, volume: VolumeId, target: Backend, size: int) -> tuple[float, float]:
    """How long the copy took, and the proof that it is one. It is deleted again."""
    async with source.opened(volume, POOL) as origin:
        began = time.perf_counter()
        await target.create(volume, POOL, size)
        async with target.opened(volume, POOL) as device:
            told = await replica.copy(origin, device, size * GIB, no_progress)
    copied = time.perf_counter()
    async with target.opened(volume, POOL) as device:
        if await replica.digest(device, size * GIB, no_progress) != told:
            raise SystemExit("the copy is another")
    proved = time.perf_counter()
    await target.delete(volume, POOL)
    return copied - began, proved - copied


async def cloned(backend: Backend, volume: VolumeId, size: int) -> float:
    """How long a clone in the same pool took, where it is a copy."""
    made = VolumeId(new_id())
    began = time.perf_counter()
    await backend.create_from_volume(made, POOL, size, volume, POOL, no_progress)
    took = time.perf_counter() - began
    await backend.delete(made, POOL)
    return took


async def measure(
    places: dict[str, Backend], folder: Path, cluster: CephCluster, size: int, mebibytes: int, rounds: int
) -> Table:
    """Every way by turns."""
    here, volume = places["files"], VolumeId(new_id())
    image = f"rbd:bench/bare:id=admin:conf={cluster.conf}:keyring={cluster.keyring}"
    for backend in places.values():
        await backend.start()
    await here.create(volume, POOL, size)
    async with here.opened(volume, POOL) as file:
        await asyncio.to_thread(fill, file, size, mebibytes)
        source = file
    took: dict[str, list[float]] = {}

    async def timed(name: str, work: Callable[[], Awaitable[object]]) -> None:
        began = time.perf_counter()
        await work()
        took.setdefault(name, []).append(time.perf_counter() - began)

    targets = {"files": folder / "bare", "xfs": folder / "xfs-mounted" / "bare"}
    for _ in range(rounds):
        for name, target in targets.items():
            await timed(f"{name} bare", lambda it=target: asyncio.to_thread(converted, source, str(it)))  # type: ignore[misc]
        await timed("rbd bare", lambda: asyncio.to_thread(converted, source, image))
        await asyncio.to_thread(cluster.rbd, "rm", "--no-progress", "bench/bare")
        took.setdefault("files cloned", []).append(await cloned(here, volume, size))
        for name in ("xfs", "rbd"):
            copied, proved = await moved(here, volume, places[name], size)
            took.setdefault(f"{name} moved", []).append(copied)
            took.setdefault(f"{name} proved", []).append(proved)
    found = {name: median(times) for name, times in took.items()}
    table = Table("", "qemu-img", "Pumice", "times", "proved", title=f"load {os.getloadavg()[0]:.1f}")
    for line, bare, ours, proof in (
        ("a clone in a pool without reflinks", "files bare", "files cloned", ""),
        ("a move to files on another file system", "xfs bare", "xfs moved", "xfs proved"),
        ("a move to rbd", "rbd bare", "rbd moved", "rbd proved"),
    ):
        ratio = f"{found[ours] / found[bare]:.2f}"
        table.add_row(
            line,
            f"{found[bare]:.2f} s",
            f"{found[ours]:.2f} s",
            ratio,
            f"{found[proof]:.2f} s" if proof else "",
        )
    return table


def main(size: int = 20, mebibytes: int = 1024, rounds: int = 3) -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pumice-copies-")))
        cluster, mounted = stack.enter_context(own_cluster("bench")), stack.enter_context(an_xfs())
        (folder / "xfs-mounted").symlink_to(mounted)
        os.environ["CEPH_CONF"] = str(cluster.conf)
        user = make_user(cluster, "bench")
        places: dict[str, Backend] = {
            "files": FilesBackend({POOL: folder / "files"}),
            "xfs": FilesBackend({POOL: mounted / "pool"}),
            "rbd": RbdBackend(
                Cluster(cluster.conf, "bench", user.keyring), {POOL: "bench"}, folder / "windows"
            ),
        }
        table = asyncio.run(measure(places, folder, cluster, size, mebibytes, rounds))
        Console(width=120).print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""What a volume costs in a pool of few and in one of many, in a directory and on Ceph: it should be the same.

    .venv/bin/python -m benchmarks.many_images [many] [few] [rounds]    # on a Ceph of its own
    .venv/bin/python -m benchmarks.many_images files [many] [few] [rounds]    # in directories alone

The driver's own calls, in two pools that were filled with so many, by turns. The inventory and the look
for what is manageable, which the loops do each minute, are told for a thousand. What the rows of many volumes
cost is told by ``benchmarks.scale``.
"""

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import structlog
from rich.console import Console
from rich.table import Table
from tests.ceph.conftest import make_user
from tests.ceph_cluster import CephCluster, own_cluster

from pumice.app.garbage import imports_begin, imports_end
from pumice.backends.contract import Backend, no_progress
from pumice.backends.files import FilesBackend
from pumice.backends.rbd import RbdBackend
from pumice.backends.rbd_images import PYTHON, Cluster
from pumice.model.ids import SnapshotId, VolumeId, new_id

FILL = """\
import sys, uuid, rados, rbd
conf, keyring, pool, number = sys.argv[1:]
with rados.Rados(conffile=conf, rados_id="admin", conf={"keyring": keyring}) as cluster:
    with cluster.open_ioctx(pool) as io:
        for _ in range(int(number)):
            rbd.RBD().create(io, f"volume-{uuid.uuid4()}", 1 << 30, old_format=False)
"""


def fill(cluster: CephCluster, pool: str, number: int) -> None:
    """Put so many images into a pool, by two at once."""
    words: list[str | Path] = [PYTHON, "-I", "-c", FILL, cluster.conf, cluster.keyring, pool]
    halves = [number // 2, number - number // 2]
    children = [subprocess.Popen([*words, str(half)]) for half in halves]
    codes = [child.wait() for child in children]
    if any(codes):
        raise SystemExit("the pool could not be filled")


@dataclass
class Pool:
    """A pool that has so many, and what calls took in it, in ms."""

    backend: Backend
    name: str
    images: int
    took: dict[str, list[float]] = field(default_factory=dict)
    origin: VolumeId = field(default_factory=lambda: VolumeId(new_id()))

    async def round(self) -> None:
        """Every call once."""
        backend, pool = self.backend, self.name
        volume, clone, snapshot = VolumeId(new_id()), VolumeId(new_id()), SnapshotId(new_id())
        copied = (clone, pool, 1, self.origin, pool, no_progress)
        await self._timed("create a volume", lambda: backend.create(volume, pool, 1))
        await self._timed("clone one", lambda: backend.create_from_volume(*copied))
        await self._timed("snapshot it", lambda: backend.create_snapshot(snapshot, clone, pool, no_progress))
        await self._timed("delete a snapshot", lambda: backend.delete_snapshot(snapshot, pool))
        await self._timed("delete a volume", lambda: backend.delete(volume, pool))
        await self._timed("delete a clone", lambda: backend.delete(clone, pool))
        await self._timed("inventory, for a thousand", backend.inventory, self.images / 1000)
        await self._timed(
            "look for what is manageable, for a thousand", lambda: backend.manageable(pool), self.images / 1000
        )

    async def _timed(self, name: str, work: Callable[[], Awaitable[object]], parts: float = 1.0) -> None:
        began = time.perf_counter()
        await work()
        self.took.setdefault(name, []).append((time.perf_counter() - began) / parts * 1000)


async def measure(pools: list[Pool], rounds: int) -> None:
    """By turns; the first round, in which children are started, does not count."""
    for pool in pools:
        await pool.backend.create(pool.origin, pool.name, 1)
        await pool.round()
        pool.took.clear()
    for number in range(rounds):
        for pool in pools if number % 2 else reversed(pools):
            await pool.round()


def on_ceph(folder: Path, few: int, many: int, rounds: int) -> list[Pool]:
    """Two pools of a cluster, and what calls took there."""
    with own_cluster("few") as cluster:
        cluster.make_pool("many")
        pools = []
        for name, images in (("few", few), ("many", many)):
            fill(cluster, name, images)
            known = Cluster(cluster.conf, name, make_user(cluster, name).keyring)
            pools.append(Pool(RbdBackend(known, {name: name}, folder), name, images))
        asyncio.run(measure(pools, rounds))
        return pools


def in_directories(folder: Path, few: int, many: int, rounds: int) -> list[Pool]:
    """Two directories, and what calls took there."""

    async def work() -> list[Pool]:
        pools = []
        for name, images in (("few", few), ("many", many)):
            pools.append(Pool(FilesBackend({name: folder / name}), name, images))
            await pools[-1].backend.start()
            for _ in range(images):
                (folder / name / "volumes" / new_id()).touch()
        await measure(pools, rounds)
        return pools

    imports_begin()
    imports_end()  # as in every process: what is there already is not looked at for garbage
    return asyncio.run(work())


def main(only: str = "", many: int = 10000, few: int = 1000, rounds: int = 20) -> None:
    """Print a table for each driver."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    drivers = {"files": in_directories, "rbd": on_ceph}
    for driver in [only] if only else drivers:
        with tempfile.TemporaryDirectory() as folder:
            pools = drivers[driver](Path(folder), few, many, rounds)
        title = f"{driver}, load {os.getloadavg()[0]:.1f}"
        table = Table("", f"{few:,} there", f"{many:,} there", "times", title=title)
        for name in pools[0].took:
            first, second = (median(pool.took[name]) for pool in pools)
            table.add_row(name, f"{first:.1f} ms", f"{second:.1f} ms", f"{second / first:.2f}")
        Console(width=110).print(table)


if __name__ == "__main__":
    words = sys.argv[1:]
    main(words.pop(0) if words[:1] in (["files"], ["rbd"]) else "", *map(int, words))

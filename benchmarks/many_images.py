"""What a volume costs on Ceph in a pool of few images and in one of many: it should be the same.

    .venv/bin/python -m benchmarks.many_images [many] [few] [rounds]    # on a Ceph of its own

The driver's own calls, in two pools that were filled with so many images, by turns. The inventory and the look
for what is manageable, which the loops do each minute, are told for a thousand images. What the rows of many
volumes cost is told by ``benchmarks.scale``.
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

from pumice.backends.contract import no_progress
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
    words = [PYTHON, "-I", "-c", FILL, cluster.conf, cluster.keyring, pool]
    halves = [number // 2, number - number // 2]
    children = [subprocess.Popen([*words, str(half)]) for half in halves]
    codes = [child.wait() for child in children]
    if any(codes):
        raise SystemExit("the pool could not be filled")


@dataclass
class Pool:
    """A pool that has so many images, and what calls took in it, in ms."""

    backend: RbdBackend
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


def main(many: int = 10000, few: int = 1000, rounds: int = 20) -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with own_cluster("few") as cluster, tempfile.TemporaryDirectory() as folder:
        cluster.make_pool("many")
        pools = []
        for name, images in (("few", few), ("many", many)):
            fill(cluster, name, images)
            known = Cluster(cluster.conf, name, make_user(cluster, name).keyring)
            pools.append(Pool(RbdBackend(known, {name: name}, Path(folder)), name, images))
        asyncio.run(measure(pools, rounds))
        table = Table(
            "", f"{few:,} images", f"{many:,} images", "times", title=f"load {os.getloadavg()[0]:.1f}"
        )
        for name in pools[0].took:
            first, second = (median(pool.took[name]) for pool in pools)
            table.add_row(name, f"{first:.1f} ms", f"{second:.1f} ms", f"{second / first:.2f}")
        Console(width=110).print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""What the second volume of an image costs, and a server that boots from one: with its base in the image cache.

    .venv/bin/python -m benchmarks.image_cache [rounds]     # as root, on a Ceph and an XFS of its own

All of one run, by turns. What was copied is told by the pool's own counters. An image holds 256 MiB that are
no holes; *bare* is ``rbd clone`` alone, *available* from the request on.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table
from tests.boot_sector import boot_sector
from tests.ceph.conftest import User, make_user
from tests.ceph_cluster import own_cluster
from tests.kill.pumice_process import PumiceProcess, installation
from tests.kill.stories import Stories
from tests.pumice_installation import SERVERS, VOLUMES

from pumice.backends.contract import no_progress
from pumice.backends.rbd import RbdBackend
from pumice.backends.rbd_images import Cluster
from pumice.model.ids import VolumeId, new_id
from pumice.model.units import GIB, MIB

AT_ONCE = 20
CONSOLE = Console(width=110)
BASES = "/pumice/v1/image-cache"


def an_image() -> bytes:
    """A disk that boots, and has 256 MiB of what cannot be left out."""
    return boot_sector().ljust(MIB, b"\0") + os.urandom(256 * MIB)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Tenant:
    """Who makes volumes of one image."""

    def __init__(self, pumice: PumiceProcess) -> None:
        self.pumice = pumice
        self.stories = Stories(pumice)
        self.image = self.stories.upload(an_image(), "raw")

    def volumes(self, number: int = 1) -> list[str]:
        """So many at once, available."""
        made = [self.stories.create(imageRef=self.image) for _ in range(number)]
        for volume in made:
            self._until(f"{VOLUMES}/{volume}", "volume", "available")
        return made

    def servers(self, number: int = 1) -> list[str]:
        """So many at once that boot from new volumes, active: their QEMUs have started."""
        body = self.stories.server(self.image, name="s")
        [disk] = body["server"]["block_device_mapping_v2"]
        disk |= {"source_type": "image", "volume_size": 1, "delete_on_termination": True}
        made = [str(self.pumice.call("POST", SERVERS, body)["server"]["id"]) for _ in range(number)]
        for server in made:
            self._until(f"{SERVERS}/{server}", "server", "ACTIVE")
        return made

    def forget(self, path: str, made: list[str]) -> None:
        """Delete these, and wait until they are gone."""
        for one in made:
            self.stories.delete(f"{path}/{one}")
        self.pumice.settle()

    def bases(self) -> int:
        """How often a base was made."""
        return int(self.pumice.rows("SELECT count(*) FROM operations WHERE kind = 'image_base.make'")[0])

    def _until(self, path: str, kind: str, wanted: str) -> None:
        while (found := self.pumice.call("GET", path)[kind])["status"] != wanted:
            if found["status"].lower() == "error":
                raise SystemExit(f"{path}: {found}")
            time.sleep(0.005)


@contextmanager
def a_pumice(backend: dict[str, Any], **environment: str) -> Iterator[Tenant]:
    """A tenant of one with this backend alone, whose image has its base."""
    with installation(PUMICE_BACKENDS=json.dumps({"bench": backend}), **environment) as pumice:
        pumice.start()
        tenant = Tenant(pumice)
        took = seconds(lambda: tenant.volumes(AT_ONCE))
        CONSOLE.print(
            f"the first {AT_ONCE} volumes at once: {took:.1f} s, {tenant.bases()} base", highlight=False
        )
        yield tenant


@contextmanager
def a_ceph() -> Iterator[User]:
    """A user of a cluster."""
    with own_cluster("bench") as cluster:
        yield make_user(cluster, "bench")


@contextmanager
def an_xfs() -> Iterator[Path]:
    """A file system whose files share blocks, on a loop device."""
    with tempfile.TemporaryDirectory(prefix="pumice-xfs-") as folder:
        disk, mounted = Path(folder, "disk"), Path(folder, "mounted")
        with disk.open("wb") as file:
            file.truncate(4 * GIB)
        mounted.mkdir()
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", disk], check=True)
        subprocess.run(["mount", "-o", "loop", disk, mounted], check=True)
        try:
            yield mounted
        finally:
            subprocess.run(["umount", mounted], check=True)


def written(user: User) -> int:
    """Bytes that clients have written to the pool since it was made."""
    words = ["rados", "--conf", str(user.pool.cluster.conf), "df", "--format", "json"]
    told = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return sum(int(it["write_bytes"]) for it in told["pools"] if it["name"] == user.pool.name)


def in_ceph(table: Table, rounds: int) -> None:
    """The figures of the driver ``rbd``."""
    with a_ceph() as user, a_pumice(dict(user.settings)) as tenant, tempfile.TemporaryDirectory() as folder:
        pool, rbd = user.pool.name, user.pool.cluster.rbd
        [base] = [it["id"] for it in tenant.pumice.call("GET", BASES)["image_bases"]]
        rbd("snap", "create", "--no-progress", f"{pool}/volume-{base}@bare")
        backend = RbdBackend(Cluster(user.pool.cluster.conf, pool, user.keyring), {pool: pool}, Path(folder))
        bare, driver, whole, booted = [], [], [], []

        async def clone() -> None:
            await backend.create_from_volume(VolumeId(new_id()), pool, 1, VolumeId(base), pool, no_progress)

        words = ("clone", "--rbd-default-clone-format", "2", f"{pool}/volume-{base}@bare")
        before = written(user)
        for number in range(rounds):
            bare.append(seconds(lambda number=number: rbd(*words, f"{pool}/bare-{number}")))  # type: ignore[misc]
            driver.append(seconds(lambda: asyncio.run(clone())))
            whole.append(seconds(tenant.volumes))
        copied = written(user) - before
        for _ in range(rounds):
            made: list[str] = []
            booted.append(seconds(lambda made=made: made.extend(tenant.servers())))  # type: ignore[misc]
            tenant.forget(SERVERS, made)
        table.add_row("rbd clone, bare", _ms(bare), "")
        table.add_row("rbd: the driver's clone of a base", _ms(driver), f"{median(driver) / median(bare):.1f}x")
        table.add_row("rbd: request to available", _ms(whole), f"{median(whole) / median(bare):.1f}x")
        table.add_row(f"rbd: written by these {3 * rounds} clones", f"{copied / 1024:,.0f} KiB", "")
        table.add_row("rbd: request of a server to ACTIVE", _ms(booted), "")
        at_once: list[str] = []
        took = seconds(lambda: at_once.extend(tenant.servers(AT_ONCE)))
        tenant.forget(SERVERS, at_once)
        table.add_row(f"rbd: {AT_ONCE} servers at once, to the last ACTIVE", f"{took:.1f} s", "")


def on_xfs(table: Table, rounds: int) -> None:
    """The figures of the driver ``files`` where files share blocks."""
    with an_xfs() as mounted:
        backend = {"driver": "files", "pools": {"xfs": str(mounted / "pool")}, "target": "local"}
        with a_pumice(backend) as tenant:
            before = _used(mounted)
            whole = [seconds(tenant.volumes) for _ in range(rounds)]
            copied = _used(mounted) - before
            booted = []
            for _ in range(rounds):
                made: list[str] = []
                booted.append(seconds(lambda made=made: made.extend(tenant.servers())))  # type: ignore[misc]
                tenant.forget(SERVERS, made)
            table.add_row("reflink: request to available", _ms(whole), "")
            table.add_row(f"reflink: taken by these {rounds}", f"{copied / 1024:,.0f} KiB", "")
            table.add_row("reflink: request of a server to ACTIVE", _ms(booted), "")


def _used(mounted: Path) -> int:
    os.sync()
    found = os.statvfs(mounted)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _ms(taken: list[float]) -> str:
    return f"{median(taken) * 1000:,.0f} ms"


def main(rounds: int = 10) -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    table = Table(
        "", "median", "beside bare", title=f"load {os.getloadavg()[0]:.1f} before", title_justify="left"
    )
    on_xfs(table, rounds)
    in_ceph(table, rounds)
    CONSOLE.print(table)
    CONSOLE.print(f"load {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

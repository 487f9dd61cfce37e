"""The harness's installation, its bytes in Ceph: two backends, each with its own pool, and what they leave."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from fake_world import HOST, FakeWorld, fake_world
from tests.ceph_cluster import CephCluster

from pumice.backends.contract import PoolFacts
from pumice.backends.fake import FakeBackend
from pumice.backends.rbd import RbdBackend
from pumice.backends.rbd_images import Cluster
from pumice.backends.targets.rbd import RbdTarget
from pumice.loops.heartbeats import Heartbeats
from pumice.model.tunables import Tunables
from pumice.model.volume import IMAGE_CACHE, SHARES

STRANGER = "stranger"


class HarnessedRbd(RbdBackend):
    """The real one, but for its space: ``ceph df`` takes as long as a whole trial, and is not what is tried."""

    def __init__(self, cluster: CephCluster, name: str, pool: str, directory: Path) -> None:
        super().__init__(Cluster(cluster.conf, "admin", cluster.keyring), {name: pool}, directory)
        self._of, self._name, self._known, self._shown = cluster, name, pool, directory

    async def pools(self) -> list[PoolFacts]:
        """A pool without an end."""
        room = float("inf")
        return [PoolFacts(self._name, room, room, thin=True, capabilities={IMAGE_CACHE: SHARES})]

    def lay_out(self) -> None:
        """An empty pool, with an image in it that is nobody's."""
        self._of.empty(self._known)
        self._of.rbd("create", "--size", "1G", f"{self._known}/{STRANGER}")

    async def leftovers(self) -> list[str]:
        """What should not be there once the next process has started: halves, and what waits for no clone."""
        await self.start()
        images = self._told("ls", self._known)
        halves = [name for name in images if name.endswith((".part", ".back"))]
        trash = {it["id"]: it["name"] for it in self._told("trash", "ls", "--all", self._known)}
        if trash:
            infos = [self._told("info", f"{self._known}/{name}") for name in images]
            infos += [self._told("info", "--pool", self._known, "--image-id", one) for one in trash]
            for parent in filter(None, (info.get("parent") for info in infos)):
                trash.pop(parent["id"], None)
        mounts = [
            line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self._shown) in line
        ]
        return [*halves, *trash.values(), *mounts]

    def _told(self, *argv: str) -> Any:
        return json.loads(self._of.rbd(*argv, "--format", "json"))


def backends_in(cluster: CephCluster, pools: Mapping[str, str], directory: Path) -> dict[str, HarnessedRbd]:
    """By ``host@backend``, as ``fake_world`` names them, with the pools ``a`` and ``b``."""
    return {
        f"{HOST}@{backend}": HarnessedRbd(cluster, name, pools[name], directory / backend)
        for backend, name in (("one", "a"), ("two", "b"))
    }


@asynccontextmanager
async def world_in_ceph(backends: dict[str, HarnessedRbd], *, image_cache: bool) -> AsyncIterator[FakeWorld]:
    """A fresh one, whose servers open the images themselves. ``AssertionError`` over what it leaves."""
    for backend in backends.values():
        backend.lay_out()
    tunables = Tunables(image_cache=image_cache)
    async with fake_world(cast(dict[str, FakeBackend], backends), tunables) as world:
        world.drivers = replace(world.drivers, targets=dict.fromkeys(backends, RbdTarget()))
        await Heartbeats(world.drivers, HOST, tunables.availability_zone, {}).send()
        yield world
        left = [it for backend in backends.values() for it in await backend.leftovers()]
        assert not left, left

"""What is wrong with a pool, an image or the cluster: each ends by itself, and is named."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ceph.conftest import User, make_user
from tests.ceph_cluster import CephCluster, own_cluster
from tests.patience import PATIENCE

from pumice.backends.contract import no_progress
from pumice.backends.rbd import RbdBackend
from pumice.backends.rbd_images import Cluster, NoAnswer, PoolFull
from pumice.model.errors import Retryable, TryAnotherBackend
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.stored import StoredObject
from pumice.model.units import MIB

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

WORDS = b"what was there before"


def backend_of(user: User, folder: Path) -> RbdBackend:
    cluster = Cluster(user.pool.cluster.conf, user.pool.name, user.keyring)
    return RbdBackend(cluster, {"one": user.pool.name}, folder)


def write(file: Path, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(data)


def read(file: Path, length: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(length)


def a_volume() -> VolumeId:
    return VolumeId(new_id())


async def test_a_volume_that_somebody_has_open_is_deleted_once_he_has_not(
    ceph_user: User, tmp_path: Path
) -> None:
    backend, volume = backend_of(ceph_user, tmp_path), a_volume()
    await backend.create(volume, "one", 1)
    async with backend.opened(volume, "one"):
        with pytest.raises(Retryable, match="in use"):
            await backend.delete(volume, "one")
    await backend.delete(volume, "one")
    assert ceph_user.pool.cluster.rbd("ls", ceph_user.pool.name) == ""


async def test_an_image_with_features_that_are_not_ours_is_a_volume_as_any(
    ceph_user: User, tmp_path: Path
) -> None:
    """Whatever a Cinder's ``rbd_default_features`` were: as few as there can be, and more than krbd knows."""
    rbd, pool = ceph_user.pool.cluster.rbd, ceph_user.pool.name
    backend = backend_of(ceph_user, tmp_path)
    for name, features in (("few", "layering"), ("many", "layering,exclusive-lock,journaling")):
        rbd("create", "--size", "1G", "--image-feature", features, f"{pool}/{name}")
        volume, snapshot, copy = a_volume(), SnapshotId(new_id()), a_volume()
        assert await backend.adopt(StoredObject("volume", volume, "one", whole=True), name) == 1
        async with backend.opened(volume, "one") as file:
            await asyncio.to_thread(write, file, WORDS)
        await backend.create_snapshot(snapshot, volume, "one", no_progress)
        await backend.create_from_snapshot(copy, "one", 2, snapshot, "one", no_progress)
        await backend.extend(volume, "one", 2)
        await backend.revert(volume, "one", snapshot, no_progress)
        while await backend.flatten(copy, "one", 1.0) < 1:
            pass
        for each in (volume, copy):
            async with backend.opened(each, "one") as file:
                assert await asyncio.to_thread(read, file, len(WORDS)) == WORDS
            await backend.delete(each, "one")
        await backend.delete_snapshot(snapshot, "one")
    assert rbd("ls", pool) == rbd("trash", "ls", "--all", pool) == ""


@pytest.mark.long
async def test_a_cluster_that_is_full_or_away_and_a_pool_that_is_gone_are_told(tmp_path: Path) -> None:
    with own_cluster("alone") as cluster:
        user = make_user(cluster, "alone")
        backend, kept = backend_of(user, tmp_path), a_volume()
        await backend.create(kept, "one", 1)
        async with backend.opened(kept, "one") as file:
            await asyncio.to_thread(write, file, os.urandom(32 * MIB))
        [before] = await backend.pools()
        assert 0 < before.free_gb <= before.total_gb

        cluster.ceph("osd", "set-nearfull-ratio", "0.0001")
        await until(lambda: "nearfull" in health(cluster).lower())
        await backend.create(a_volume(), "one", 1)  # who is near it goes on

        for ratio in ("set-nearfull-ratio", "set-backfillfull-ratio", "set-full-ratio"):
            cluster.ceph("osd", ratio, "0.0001")
        await until(lambda: health(cluster).startswith("HEALTH_ERR"))
        [full] = await backend.pools()
        assert full.free_gb == 0, "nothing more is placed there"
        with pytest.raises(PoolFull):
            await backend.create(a_volume(), "one", 1)
        await backend.delete(kept, "one")  # that is what helps
        for ratio, value in (("set-full", "0.95"), ("set-backfillfull", "0.90"), ("set-nearfull", "0.85")):
            cluster.ceph("osd", f"{ratio}-ratio", value)
        await until(lambda: not health(cluster).startswith("HEALTH_ERR"))
        await backend.create(a_volume(), "one", 1)

        cluster.send("mon.a", signal.SIGSTOP)
        try:
            with pytest.raises(NoAnswer, match="cluster does not answer"):
                await backend_of(user, tmp_path / "anew").create(a_volume(), "one", 1)
        finally:
            cluster.send("mon.a", signal.SIGCONT)

        cluster.ceph("osd", "pool", "rm", "alone", "alone", "--yes-i-really-really-mean-it")
        with pytest.raises(TryAnotherBackend, match="pool is not there"):
            await backend_of(user, tmp_path / "after").create(a_volume(), "one", 1)


def health(cluster: CephCluster) -> str:
    return cluster.ceph("health", "detail")


async def until(so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(so):
        assert time.monotonic() < give_up
        await asyncio.sleep(0.2)

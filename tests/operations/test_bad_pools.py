"""A pool that went bad is left for the next best at once, and cleaned up when it is well again."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fake_world import HOST, TENANT, FakeWorld, fake_world

from pumice.backends.fake import FakeBackend
from pumice.backends.files import FilesBackend
from pumice.model.errors import TryAnotherBackend
from pumice.operations.completions import Completions
from pumice.operations.harness import eventually, quiet, working
from pumice.operations.state_machine import no_faults
from pumice.store import tables, volumes, work_queue
from pumice.store.database import Transaction
from pumice.volumes import create, delete_when_free


def mounted(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Two file systems, of which the scheduler prefers the larger."""
    paths = {name: tmp_path / name for name in ("large", "small")}
    made: list[Path] = []
    try:
        for (name, path), size in zip(paths.items(), ("8g", "4g"), strict=True):
            path.mkdir()
            try:
                mounted("-t", "tmpfs", "-o", f"size={size}", name, str(path))
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("this account may not mount a file system")
            made.append(path)
        yield paths
    finally:
        for path in made:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
async def world(disks: dict[str, Path]) -> AsyncIterator[FakeWorld]:
    backends: dict[str, Any] = {f"{HOST}@{name}": FilesBackend({name: path}) for name, path in disks.items()}
    for backend in backends.values():
        await backend.start()
    async with fake_world(backends) as world:
        yield world


async def ending(world: FakeWorld, **wanted: Any) -> tuple[str, bool, str | None]:
    """A volume's id, and how its create ended: within seconds."""
    volume = await world.db.write(
        create.accept, TENANT, create.Wanted(**({"size": 1} | wanted)), world.tunables
    )
    well, error = await Completions(world.db).wait(volume.operation_id or "", 10)
    return volume.id, well, error


def try_again(tx: Transaction) -> None:
    """Whatever waits for its next try."""
    tx.execute(sa.update(tables.operations).values(run_at=0.0))
    tx.notify(work_queue.QUEUE)


async def tries_of(world: FakeWorld, kind: str) -> int | None:
    """How often the step in hand of operations of a kind has failed; None if it has not."""
    o = tables.operations.c
    tries = sa.select(sa.func.sum(o.tries)).where(o.kind == kind)
    return await world.db.read(lambda tx: tx.execute(tries).scalar() or None)


async def pool_of(world: FakeWorld, volume_id: str) -> str | None:
    volume = await world.db.read(volumes.find, volume_id)
    return volume.pool if volume else None


async def test_a_read_only_pool_is_left_for_the_next_best_within_seconds_and_cleaned_when_it_is_writable(
    world: FakeWorld, disks: dict[str, Path]
) -> None:
    async with working(world, "before", no_faults):
        first = await world.a_volume()
    assert await pool_of(world, first) == f"{HOST}@large#large"
    mounted("-o", "remount,ro", str(disks["large"]))
    async with working(world, "at-work", no_faults):
        began = time.monotonic()
        volume_id, well, error = await ending(world)
        assert well, error
        assert time.monotonic() - began < 5
        assert await pool_of(world, volume_id) == f"{HOST}@small#small"
        mounted("-o", "remount,rw", str(disks["large"]))
        await world.db.write(try_again)
        await quiet(world)
    assert await world.violations() == []


async def test_what_ends_with_its_server_ends_when_its_pool_is_writable_again(
    world: FakeWorld, disks: dict[str, Path]
) -> None:
    """Nobody waits for that delete, so nobody would ask for it again."""
    async with working(world, "before", no_faults):
        volume_id = await world.a_volume()
    mounted("-o", "remount,ro", str(disks["large"]))
    async with working(world, "at-work", no_faults):
        await world.db.write(delete_when_free.accept, volume_id)
        await eventually(world.db, lambda: tries_of(world, "volume.delete"))
        assert await world.volume_status(volume_id) == "deleting"
        mounted("-o", "remount,rw", str(disks["large"]))
        await world.db.write(try_again)
        await quiet(world)
    assert await world.db.read(volumes.find, volume_id) is None
    assert await world.violations() == []


async def test_where_all_pools_are_read_only_the_tenant_is_told_so_within_seconds(
    world: FakeWorld, disks: dict[str, Path]
) -> None:
    for path in disks.values():
        mounted("-o", "remount,ro", str(path))
    async with working(world, "at-work", no_faults):
        volume_id, well, error = await ending(world)
        assert not well
        assert "ead-only" in (error or "") or "No valid" in (error or "")
        assert await world.volume_status(volume_id) == "error"
        assert await pool_of(world, volume_id) is None


async def test_a_pool_that_hangs_in_its_undo_is_left_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pumice.operations.runner.HASTE_SECONDS", 0.1)
    backends = {f"{HOST}@one": FakeBackend(("a",)), f"{HOST}@two": FakeBackend(("b",))}
    hung = asyncio.Event()

    async def hang(*_: object) -> None:
        await hung.wait()

    async with fake_world(backends) as world, working(world, "at-work", no_faults):
        bad = backends[f"{HOST}@one"]
        bad.fail_next["create"] = TryAnotherBackend("its disk is gone")
        backends[f"{HOST}@two"].fail_next["create"] = TryAnotherBackend("its disk is gone")
        monkeypatch.setattr(bad, "delete", hang)
        _, well, _ = await ending(world)
        assert not well
        hung.set()
        await quiet(world)
        assert await world.violations() == []

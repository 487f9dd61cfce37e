"""A pool's directory that is another than it was, or that may only be read: nothing is made or deleted there.

Real mounts of this machine; those of a real NFS are in ``tests/kernel/test_nfs.py``.
"""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.databases import new_sqlite
from tests.in_full import says

from pumice.app import marks
from pumice.backends.contract import no_progress
from pumice.backends.files import FilesBackend
from pumice.model.errors import Misconfigured, Retryable, TryAnotherBackend
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.stored import StoredObject
from pumice.store.open import open_database


@contextmanager
def mounted(*options: str, over: Path) -> Iterator[None]:
    """Something else is at this path."""
    if subprocess.run(["mount", *options, over], capture_output=True, timeout=60).returncode:
        pytest.skip("this machine does not let the test mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", over], check=True, timeout=60)


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[tuple[FilesBackend, Path]]:
    """A pool that bears our mark and is served."""
    backend = FilesBackend({"pool": tmp_path / "pool"})
    database = open_database(new_sqlite(tmp_path / "pumice.db"))
    guarded = marks.guarded(backend, "start", marks.for_backend(database, "here@files", backend, serves=True))
    await guarded.start()
    yield guarded, tmp_path / "pool"
    await database.close()


async def test_in_anothers_directory_nothing_is_made_opened_or_deleted(
    pool: tuple[FilesBackend, Path], tmp_path: Path
) -> None:
    backend, directory = pool
    volume, other, snapshot = VolumeId(new_id()), VolumeId(new_id()), SnapshotId(new_id())
    await backend.create(volume, "pool", 1)
    await backend.create_snapshot(snapshot, volume, "pool", no_progress)
    another = tmp_path / "another"
    for file in (another / "volumes" / volume, another / "snapshots" / snapshot):
        file.parent.mkdir(parents=True)
        file.write_text("another's")
    before = {path: path.stat().st_mtime_ns for path in another.rglob("*")}
    piece = StoredObject("volume", volume, "pool")
    with mounted("--bind", str(another), over=directory):
        for work in (
            lambda: backend.create(other, "pool", 1),
            lambda: backend.create_from_volume(other, "pool", 1, volume, "pool", no_progress),
            lambda: backend.extend(volume, "pool", 2),
            lambda: backend.revert(volume, "pool", snapshot, no_progress),
            lambda: backend.device(volume, "pool"),
            lambda: backend.put_aside(piece, "aside"),
            lambda: backend.discard(piece),
            lambda: backend.delete_snapshot(snapshot, "pool"),
            lambda: backend.delete(volume, "pool"),
        ):
            with pytest.raises(Retryable, check=says("is its storage mounted?")):
                await work()
        assert {path: path.stat().st_mtime_ns for path in another.rglob("*")} == before
        with pytest.raises(Misconfigured, check=says("has no mark and holds 2 volumes or snapshots")):
            await backend.pools()
    await backend.pools()
    await backend.delete(volume, "pool")
    assert (await backend.inventory()).pieces == {StoredObject("snapshot", snapshot, "pool")}


async def test_one_that_may_only_be_read_takes_nothing_and_is_told(pool: tuple[FilesBackend, Path]) -> None:
    backend, directory = pool
    volume = VolumeId(new_id())
    await backend.create(volume, "pool", 1)
    with mounted("--bind", "-o", "ro", str(directory), over=directory):
        for work in (backend.pools, lambda: backend.delete(volume, "pool")):
            with pytest.raises(TryAnotherBackend, check=says("Read-only file system")):
                await work()
        with pytest.raises(Misconfigured, check=says(f"{directory}: Read-only file system")):
            await FilesBackend({"pool": directory}).start()
    await backend.pools()
    await backend.delete(volume, "pool")

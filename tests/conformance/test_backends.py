"""Every backend keeps every rule of ``backends/contract.py``: this suite calls each of its methods.

A new backend joins by one more case in ``CASES``. ``files`` runs twice: on a file system that can share blocks
(XFS on a loop device, where this machine lets the test mount one) and on whatever the temporary directory is.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pumice.backends.contract import Backend, ImageFile, Piece, no_progress
from pumice.backends.fake import FakeBackend
from pumice.backends.files import FilesBackend
from pumice.model.errors import Conflict, Elsewhere, ImageRefused, NotFound
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.units import GIB, MIB

CASES = ["files", "files-reflink", "fake", "fake-memory"]
POOL = "pool"


@dataclass(frozen=True)
class Case:
    """One backend under test. ``make`` builds it anew, as a restarted process would."""

    make: Callable[[], Backend]
    holds_bytes: bool = True


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("a file system with reflink needs root and mkfs.xfs (package xfsprogs)")
    directory = tmp_path_factory.mktemp("xfs")
    disk, mountpoint = directory / "disk", directory / "mounted"
    mountpoint.mkdir()
    disk.touch()
    os.truncate(disk, GIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", disk], check=True)
    if subprocess.run(["mount", "-o", "loop", disk, mountpoint], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a loop device")
    yield mountpoint
    subprocess.run(["umount", mountpoint], check=True)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    match request.param:
        case "files":
            return Case(lambda: FilesBackend({POOL: tmp_path / "pool"}))
        case "files-reflink":
            directory = request.getfixturevalue("xfs") / new_id()
            return Case(lambda: FilesBackend({POOL: directory}))
        case "fake":
            return Case(lambda: FakeBackend((POOL,), directory=tmp_path / "fake"))
        case _:
            return Case(lambda: FakeBackend((POOL,)), holds_bytes=False)


@pytest.fixture
async def backend(case: Case) -> Backend:
    backend = case.make()
    await backend.start()
    return backend


@pytest.fixture
def bytes_held(case: Case) -> None:
    if not case.holds_bytes:
        pytest.skip("this backend holds no bytes")


def a_volume() -> VolumeId:
    return VolumeId(new_id())


def a_snapshot() -> SnapshotId:
    return SnapshotId(new_id())


async def write(backend: Backend, volume: VolumeId, data: bytes, offset: int = 0) -> None:
    with (await backend.device(volume, POOL)).open("r+b") as device:
        device.seek(offset)
        device.write(data)


async def read(backend: Backend, volume: VolumeId, length: int, offset: int = 0) -> bytes:
    with (await backend.device(volume, POOL)).open("rb") as device:
        device.seek(offset)
        return device.read(length)


async def volume_with(backend: Backend, data: bytes, size: int = 1) -> VolumeId:
    volume = a_volume()
    await backend.create(volume, POOL, size)
    await write(backend, volume, data)
    return volume


def a_raw_image(path: Path, data: bytes) -> ImageFile:
    path.write_bytes(data)
    return ImageFile(path, "raw", len(data))


def as_qcow2(raw: ImageFile) -> ImageFile:
    path = raw.path.with_suffix(".qcow2")
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw.path, path], check=True)
    return ImageFile(path, "qcow2", raw.virtual_size)


# --- pools -----------------------------------------------------------------------------------------------


async def test_pools_report_a_capacity_under_their_names(backend: Backend) -> None:
    [pool] = await backend.pools()
    assert pool.name == POOL
    assert pool.total_gb >= pool.free_gb > 0
    assert isinstance(pool.thin, bool)


async def test_starting_twice_is_starting_once(backend: Backend) -> None:
    volume = a_volume()
    await backend.create(volume, POOL, 1)
    await backend.start()
    assert (await backend.inventory()).volumes == {volume}


async def test_an_unknown_pool_is_said_to_be_elsewhere(backend: Backend) -> None:
    with pytest.raises(Elsewhere):
        await backend.create(a_volume(), "nowhere", 1)


# --- inventory -------------------------------------------------------------------------------------------


async def test_the_inventory_names_each_piece_and_discarding_one_frees_it_and_no_other(
    backend: Backend,
) -> None:
    volume, other, snapshot = a_volume(), a_volume(), a_snapshot()
    await backend.create(volume, POOL, 1)
    await backend.create(other, POOL, 1)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    pieces = {Piece("volume", volume, POOL), Piece("volume", other, POOL), Piece("snapshot", snapshot, POOL)}
    assert (await backend.inventory()).pieces == pieces
    for piece in (Piece("snapshot", snapshot, POOL), Piece("volume", other, POOL)):
        for _ in range(2):
            await backend.discard(piece)
    assert (await backend.inventory()).pieces == {Piece("volume", volume, POOL)}


# --- idempotence: everything twice, undone twice -----------------------------------------------------------


async def test_a_volume_is_created_twice_and_deleted_twice(backend: Backend) -> None:
    volume = a_volume()
    await backend.create(volume, POOL, 1)
    await backend.create(volume, POOL, 1)
    assert (await backend.inventory()).volumes == {volume}
    await backend.delete(volume, POOL)
    await backend.delete(volume, POOL)
    assert (await backend.inventory()).volumes == frozenset()
    with pytest.raises(NotFound):
        await backend.device(volume, POOL)


async def test_a_snapshot_is_created_twice_and_deleted_twice(backend: Backend) -> None:
    volume, snapshot = a_volume(), a_snapshot()
    await backend.create(volume, POOL, 1)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    assert (await backend.inventory()).snapshots == {snapshot}
    await backend.delete_snapshot(snapshot, POOL)
    await backend.delete_snapshot(snapshot, POOL)
    assert (await backend.inventory()).snapshots == frozenset()


async def test_a_clone_made_twice_keeps_what_was_written_to_it_in_between(
    backend: Backend, bytes_held: None
) -> None:
    source, clone = await volume_with(backend, b"source"), a_volume()
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    await write(backend, clone, b"CLONED")
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert await read(backend, clone, 6) == b"CLONED"


async def test_a_repeated_call_succeeds_although_its_source_is_gone(backend: Backend) -> None:
    source, snapshot, clone, restored = a_volume(), a_snapshot(), a_volume(), a_volume()
    await backend.create(source, POOL, 1)
    for _ in range(2):
        await backend.create_snapshot(snapshot, source, POOL, no_progress)
        await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
        await backend.delete(source, POOL)
    for _ in range(2):
        await backend.create_from_snapshot(restored, POOL, 1, snapshot, POOL, no_progress)
        await backend.delete_snapshot(snapshot, POOL)
    assert (await backend.inventory()).volumes == {clone, restored}


async def test_an_image_is_filled_in_twice(backend: Backend, tmp_path: Path) -> None:
    volume, image = a_volume(), a_raw_image(tmp_path / "image", b"\1" * MIB)
    await backend.create_from_image(volume, POOL, 1, image, no_progress)
    await backend.create_from_image(volume, POOL, 1, image, no_progress)
    assert (await backend.inventory()).volumes == {volume}


async def test_extending_twice_is_extending_once_and_never_shrinks(backend: Backend, bytes_held: None) -> None:
    volume = await volume_with(backend, b"kept")
    await backend.extend(volume, POOL, 3)
    await backend.extend(volume, POOL, 3)
    await backend.extend(volume, POOL, 2)
    assert (await backend.device(volume, POOL)).stat().st_size == 3 * GIB
    assert await read(backend, volume, 4) == b"kept"
    assert await read(backend, volume, 4, offset=2 * GIB) == bytes(4)


async def test_equal_calls_at_once_make_one_volume(backend: Backend) -> None:
    source, clone = a_volume(), a_volume()
    await backend.create(source, POOL, 1)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress))
    inventory = await backend.inventory()
    assert inventory.volumes == {source, clone} and not inventory.leftovers


async def test_finished_volumes_survive_a_restart(case: Case, backend: Backend, bytes_held: None) -> None:
    volume, snapshot = await volume_with(backend, b"before"), a_snapshot()
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    restarted = case.make()
    await restarted.start()
    inventory = await restarted.inventory()
    assert (inventory.volumes, inventory.snapshots) == ({volume}, {snapshot})
    assert await read(restarted, volume, 6) == b"before"


# --- what is absent ------------------------------------------------------------------------------------------


async def test_what_does_not_exist_is_not_found(backend: Backend) -> None:
    absent = a_volume()
    with pytest.raises(NotFound):
        await backend.device(absent, POOL)
    with pytest.raises(NotFound):
        await backend.extend(absent, POOL, 2)
    with pytest.raises(NotFound):
        await backend.create_from_volume(a_volume(), POOL, 1, absent, POOL, no_progress)
    with pytest.raises(NotFound):
        await backend.create_from_snapshot(a_volume(), POOL, 1, a_snapshot(), POOL, no_progress)
    with pytest.raises(NotFound):
        await backend.create_snapshot(a_snapshot(), absent, POOL, no_progress)
    inventory = await backend.inventory()
    assert not inventory.volumes and not inventory.snapshots and not inventory.leftovers


async def test_deleting_what_does_not_exist_succeeds(backend: Backend) -> None:
    await backend.delete(a_volume(), POOL)
    await backend.delete_snapshot(a_snapshot(), POOL)


# --- bytes ---------------------------------------------------------------------------------------------------


async def test_a_new_volume_reads_as_zeroes_whatever_was_deleted_before(
    backend: Backend, bytes_held: None
) -> None:
    volume = await volume_with(backend, b"secret" * 1000)
    await backend.delete(volume, POOL)
    await backend.create(volume, POOL, 1)
    assert await read(backend, volume, MIB) == bytes(MIB)
    assert (await backend.device(volume, POOL)).stat().st_size == GIB


async def test_a_clone_is_independent_of_its_source(backend: Backend, bytes_held: None) -> None:
    source, clone = await volume_with(backend, b"before"), a_volume()
    await backend.create_from_volume(clone, POOL, 2, source, POOL, no_progress)
    await write(backend, source, b"after!")
    await write(backend, clone, b"mine", offset=100)
    await backend.delete(source, POOL)
    assert await read(backend, clone, 6) == b"before"
    assert await read(backend, clone, 4, offset=100) == b"mine"
    assert (await backend.device(clone, POOL)).stat().st_size == 2 * GIB


async def test_a_clone_of_a_source_that_grew_has_the_size_asked_for(backend: Backend, bytes_held: None) -> None:
    source, clone = await volume_with(backend, b"bytes", size=2), a_volume()
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert (await backend.device(clone, POOL)).stat().st_size == GIB


async def test_a_snapshot_is_independent_of_its_volume(backend: Backend, bytes_held: None) -> None:
    volume, snapshot, restored = await volume_with(backend, b"before"), a_snapshot(), a_volume()
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    await write(backend, volume, b"after!")
    await backend.delete(volume, POOL)
    await backend.create_from_snapshot(restored, POOL, 1, snapshot, POOL, no_progress)
    await backend.delete_snapshot(snapshot, POOL)
    assert await read(backend, restored, 6) == b"before"


async def test_a_volume_goes_back_to_what_its_snapshot_kept_again_and_again(
    backend: Backend, bytes_held: None
) -> None:
    volume, snapshot = await volume_with(backend, b"before"), a_snapshot()
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    for change in (b"after!", b"again!"):
        await write(backend, volume, change)
        for _ in range(2):
            await backend.revert(volume, POOL, snapshot, no_progress)
        assert await read(backend, volume, 6) == b"before"
    inventory = await backend.inventory()
    assert inventory.snapshots == {snapshot} and not inventory.leftovers


async def test_a_revert_of_or_to_what_is_not_there_is_not_found_and_changes_nothing(backend: Backend) -> None:
    volume, snapshot = a_volume(), a_snapshot()
    await backend.create(volume, POOL, 1)
    with pytest.raises(NotFound):
        await backend.revert(volume, POOL, a_snapshot(), no_progress)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    gone = a_volume()
    with pytest.raises(NotFound):
        await backend.revert(gone, POOL, snapshot, no_progress)
    inventory = await backend.inventory()
    assert inventory.volumes == {volume} and not inventory.leftovers


async def test_a_released_volume_is_a_stranger_and_adopted_it_is_a_volume_again(backend: Backend) -> None:
    volume, other = a_volume(), a_volume()
    await backend.create(volume, POOL, 2 if backend.driver != "fake" else 1)
    known = {one.name for one in await backend.strangers(POOL)}
    for _ in range(2):
        await backend.release(volume, POOL, "let-go")
    assert {one.name for one in await backend.strangers(POOL)} == known | {"let-go"}
    assert volume not in (await backend.inventory()).volumes
    sizes = [await backend.adopt(other, POOL, "let-go") for _ in range(2)]
    assert sizes[0] == sizes[1] >= 1
    assert {one.name for one in await backend.strangers(POOL)} == known
    assert other in (await backend.inventory()).volumes
    with pytest.raises(NotFound):
        await backend.adopt(a_volume(), POOL, "let-go")


async def test_a_strangers_bytes_are_what_they_were(backend: Backend, bytes_held: None) -> None:
    volume, other = await volume_with(backend, b"mine"), a_volume()
    await backend.release(volume, POOL, "let-go")
    await backend.adopt(other, POOL, "let-go")
    assert await read(backend, other, 4) == b"mine"


async def test_a_name_that_another_stranger_has_is_not_taken_from_it(backend: Backend) -> None:
    one, two = a_volume(), a_volume()
    for volume in (one, two):
        await backend.create(volume, POOL, 1)
    await backend.release(one, POOL, "let-go")
    with pytest.raises(Conflict):
        await backend.release(two, POOL, "let-go")
    assert two in (await backend.inventory()).volumes


async def test_holes_stay_holes_in_a_clone(backend: Backend, bytes_held: None) -> None:
    source, clone = await volume_with(backend, os.urandom(MIB)), a_volume()
    await write(backend, source, os.urandom(MIB), offset=GIB - MIB)
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert await read(backend, clone, MIB, offset=GIB - MIB) == await read(backend, source, MIB, GIB - MIB)
    assert (await backend.device(clone, POOL)).stat().st_blocks * 512 <= 4 * MIB


async def test_an_image_becomes_the_beginning_of_its_volume(
    backend: Backend, bytes_held: None, tmp_path: Path
) -> None:
    data = os.urandom(3 * MIB)
    raw = a_raw_image(tmp_path / "image.raw", data)
    for image in (raw, as_qcow2(raw)):
        volume = a_volume()
        told: list[float] = []
        await backend.create_from_image(volume, POOL, 1, image, told.append)
        assert await read(backend, volume, len(data)) == data
        assert await read(backend, volume, MIB, offset=GIB - MIB) == bytes(MIB)
        assert told and told == sorted(told) and told[-1] == 1.0


async def test_an_image_larger_than_its_volume_is_refused(backend: Backend, tmp_path: Path) -> None:
    image = ImageFile(a_raw_image(tmp_path / "image", b"small").path, "raw", GIB + 1)
    with pytest.raises(ImageRefused, match="2 GiB and does not fit into 1 GiB"):
        await backend.create_from_image(a_volume(), POOL, 1, image, no_progress)
    inventory = await backend.inventory()
    assert not inventory.volumes and not inventory.leftovers


async def test_a_malformed_image_is_refused_and_leaves_nothing(
    backend: Backend, bytes_held: None, tmp_path: Path
) -> None:
    image = ImageFile(a_raw_image(tmp_path / "image", b"QFI\xfb" + bytes(2000)).path, "qcow2", MIB)
    with pytest.raises(ImageRefused):
        await backend.create_from_image(a_volume(), POOL, 1, image, no_progress)
    inventory = await backend.inventory()
    assert not inventory.volumes and not inventory.leftovers


async def test_progress_ends_at_one(backend: Backend) -> None:
    source, told = a_volume(), list[float]()
    await backend.create(source, POOL, 1)
    await backend.create_from_volume(a_volume(), POOL, 1, source, POOL, told.append)
    assert told[-1] == 1.0 and all(0 <= done <= 1 for done in told)


# --- cut short -----------------------------------------------------------------------------------------------


async def test_a_cancelled_clone_is_all_there_or_not_at_all(backend: Backend, bytes_held: None) -> None:
    data = os.urandom(64 * MIB)
    source, clone = await volume_with(backend, data), a_volume()
    begun = asyncio.Event()
    cloning = asyncio.create_task(
        backend.create_from_volume(clone, POOL, 1, source, POOL, lambda _: begun.set())
    )
    await begun.wait()
    cloning.cancel()
    with suppress(asyncio.CancelledError):
        await cloning
    inventory = await backend.inventory()
    assert not inventory.leftovers
    if clone in inventory.volumes:
        assert await read(backend, clone, len(data)) == data
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert await read(backend, clone, len(data)) == data


async def test_a_cancelled_create_lets_the_next_call_decide(backend: Backend) -> None:
    volume = a_volume()
    for turns in range(8):
        creating = asyncio.create_task(backend.create(volume, POOL, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        creating.cancel()
        with suppress(asyncio.CancelledError):
            await creating
        await backend.delete(volume, POOL)
        inventory = await backend.inventory()
        assert not inventory.volumes and not inventory.leftovers


CHILD = """
import asyncio, sys, time
from pathlib import Path
from pumice.backends.contract import ImageFile
from pumice.backends.files import FilesBackend

def hang(done):
    print(done, flush=True)
    time.sleep(60)  # holds the event loop: what was begun is never finished

async def main(pool, verb, volume, source):
    backend = FilesBackend({"pool": Path(pool)})
    if verb == "clone":
        await backend.create_from_volume(volume, "pool", 1, source, "pool", hang)
    elif verb == "snapshot":
        await backend.create_snapshot(volume, source, "pool", hang)
    else:
        await backend.create_from_image(volume, "pool", 1, ImageFile(Path(source), "raw", 1024**2), hang)

asyncio.run(main(*sys.argv[1:]))
"""


def killed_while(verb: str, pool: Path, wanted: str, source: str) -> None:
    """Run one call in a process of its own and kill -9 that process in the middle of it."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, pool, verb, wanted, source], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline(), "the call ended before it told any progress"
        child.kill()


@pytest.fixture
async def files(tmp_path: Path) -> FilesBackend:
    backend = FilesBackend({POOL: tmp_path / "pool"})
    await backend.start()
    return backend


async def test_a_clone_killed_in_the_middle_is_never_served_and_is_made_anew(
    files: FilesBackend, tmp_path: Path
) -> None:
    data = os.urandom(40 * MIB)
    source, clone = await volume_with(files, data), a_volume()
    await asyncio.to_thread(killed_while, "clone", tmp_path / "pool", clone, source)
    inventory = await files.inventory()
    assert inventory.volumes == {source} and inventory.leftovers == {Piece("volume", clone, POOL, whole=False)}
    with pytest.raises(NotFound):
        await files.device(clone, POOL)
    await files.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert await read(files, clone, len(data)) == data
    assert not (await files.inventory()).leftovers


async def test_a_conversion_killed_in_the_middle_is_never_served_and_is_made_anew(
    files: FilesBackend, tmp_path: Path
) -> None:
    data, volume = os.urandom(MIB), a_volume()
    image = a_raw_image(tmp_path / "image", data)
    await asyncio.to_thread(killed_while, "convert", tmp_path / "pool", volume, str(image.path))
    inventory = await files.inventory()
    assert not inventory.volumes and inventory.leftovers == {Piece("volume", volume, POOL, whole=False)}
    await files.create_from_image(volume, POOL, 1, image, no_progress)
    assert await read(files, volume, len(data)) == data
    assert not (await files.inventory()).leftovers


async def test_a_leftover_beside_whole_bytes_is_discarded_and_they_stay(
    files: FilesBackend, tmp_path: Path
) -> None:
    volume = await volume_with(files, b"kept")
    (tmp_path / "pool" / "volumes" / f".{volume}.0.part").write_bytes(b"of a process that woke up too late")
    [leftover] = (await files.inventory()).leftovers
    assert leftover == Piece("volume", volume, POOL, whole=False)
    for _ in range(2):
        await files.discard(leftover)
    assert (await files.inventory()).pieces == {Piece("volume", volume, POOL)}
    assert await read(files, volume, 4) == b"kept"


async def test_deleting_removes_what_a_killed_call_left(files: FilesBackend, tmp_path: Path) -> None:
    volume, snapshot = await volume_with(files, b"bytes"), a_snapshot()
    await asyncio.to_thread(killed_while, "snapshot", tmp_path / "pool", snapshot, volume)
    assert (await files.inventory()).leftovers == {Piece("snapshot", snapshot, POOL, whole=False)}
    await files.delete_snapshot(snapshot, POOL)
    assert not (await files.inventory()).leftovers

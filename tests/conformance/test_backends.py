"""Every backend keeps every rule of ``backends/contract.py``: this suite calls each of its methods.

A new backend joins by one more line of ``RIGS`` in ``backend_rigs.py``. ``files`` runs twice: on a file system
that can share blocks (XFS on a loop device, where this machine lets the test mount one) and on whatever the
temporary directory is. ``lvm`` runs in the kernel lane.
"""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from backend_rigs import (
    CLAIMS,
    KINDS,
    POOL,
    RIGS,
    a_volume_group,
    an_xfs,
    build,
    ceph_pool_of,
    killed_while,
    lvm,
)
from tests.patience import patience

from pumice.backends.contract import Backend, ImageFile, no_progress
from pumice.model.errors import Conflict, ImageRefused, Invalid, Misconfigured, NotFound, TryAnotherBackend
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.image_location import RbdLocation
from pumice.model.mark import Mark
from pumice.model.stored import StoredObject
from pumice.model.units import GIB, MIB

pytestmark = pytest.mark.claims(CLAIMS)


@dataclass(frozen=True)
class Case:
    """One backend under test, and where it keeps its things."""

    kind: str
    directory: Path

    def make(self) -> Backend:
        """The backend anew, as a restarted process would build it."""
        return build(self.kind, self.directory)

    async def allocated(self, device: Path) -> int:
        """Bytes on disk."""
        if self.kind == "rbd":
            return ceph_pool_of(self.directory).allocated(device.name)
        if self.kind == "lvm-thin":
            percent = lvm("lvs", "--noheadings", "-o", "data_percent", f"{POOL}/{device.name}")
            return int(float(percent) / 100 * _size(device))
        return device.stat().st_blocks * 512


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with an_xfs(tmp_path_factory.mktemp("xfs")) as mountpoint:
        yield mountpoint


@pytest.fixture(scope="module")
def volume_group() -> Iterator[None]:
    with a_volume_group():
        yield


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with RIGS[request.param].place(tmp_path, request) as directory:
        yield Case(request.param, directory)


@pytest.fixture
async def backend(case: Case) -> Backend:
    backend = case.make()
    await backend.start()
    return backend


def a_volume() -> VolumeId:
    return VolumeId(new_id())


def a_snapshot() -> SnapshotId:
    return SnapshotId(new_id())


async def write(backend: Backend, volume: VolumeId, data: bytes, offset: int = 0) -> None:
    async with backend.opened(volume, POOL) as device:
        await asyncio.to_thread(_write, device, data, offset)


async def read(backend: Backend, volume: VolumeId, length: int, offset: int = 0) -> bytes:
    async with backend.opened(volume, POOL) as device:
        return await asyncio.to_thread(_read, device, length, offset)


async def size_of(backend: Backend, volume: VolumeId) -> int:
    """Bytes."""
    async with backend.opened(volume, POOL) as device:
        return await asyncio.to_thread(_size, device)


def _write(device: Path, data: bytes, offset: int) -> None:
    with device.open("r+b") as file:
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(device: Path, length: int, offset: int) -> bytes:
    with device.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _size(device: Path) -> int:
    """Of a file or of a block device."""
    with device.open("rb") as file:
        return file.seek(0, os.SEEK_END)


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


@pytest.mark.rule("facts")
async def test_pools_report_a_capacity_under_their_names(backend: Backend) -> None:
    [pool] = await backend.pools()
    assert pool.name == POOL
    assert pool.total_gb >= pool.free_gb > 0
    assert isinstance(pool.thin, bool)


@pytest.mark.rule("idempotent")
async def test_starting_twice_is_starting_once(backend: Backend) -> None:
    volume = a_volume()
    await backend.create(volume, POOL, 1)
    await backend.start()
    assert (await backend.inventory()).volumes == {volume}


@pytest.mark.rule("errors")
async def test_an_unknown_pool_is_said_to_be_elsewhere(backend: Backend) -> None:
    with pytest.raises(TryAnotherBackend):
        await backend.create(a_volume(), "nowhere", 1)


# --- inventory -------------------------------------------------------------------------------------------


@pytest.mark.rule("idempotent")
async def test_the_inventory_names_each_piece_and_discarding_one_frees_it_and_no_other(
    backend: Backend,
) -> None:
    volume, other, snapshot = a_volume(), a_volume(), a_snapshot()
    await backend.create(volume, POOL, 1)
    await backend.create(other, POOL, 1)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    pieces = {
        StoredObject("volume", volume, POOL),
        StoredObject("volume", other, POOL),
        StoredObject("snapshot", snapshot, POOL),
    }
    assert (await backend.inventory()).pieces == pieces
    for piece in (StoredObject("snapshot", snapshot, POOL), StoredObject("volume", other, POOL)):
        for _ in range(2):
            await backend.discard(piece)
    assert (await backend.inventory()).pieces == {StoredObject("volume", volume, POOL)}


# --- idempotence: everything twice, undone twice -----------------------------------------------------------


@pytest.mark.short
@pytest.mark.rule("idempotent")
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


@pytest.mark.short
@pytest.mark.rule("idempotent")
async def test_a_snapshot_is_created_twice_and_deleted_twice(backend: Backend) -> None:
    volume, snapshot = a_volume(), a_snapshot()
    await backend.create(volume, POOL, 1)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    assert (await backend.inventory()).snapshots == {snapshot}
    await backend.delete_snapshot(snapshot, POOL)
    await backend.delete_snapshot(snapshot, POOL)
    assert (await backend.inventory()).snapshots == frozenset()


@pytest.mark.short
@pytest.mark.rule("bytes")
async def test_a_clone_made_twice_keeps_what_was_written_to_it_in_between(backend: Backend) -> None:
    source, clone = await volume_with(backend, b"source"), a_volume()
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    await write(backend, clone, b"CLONED")
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert await read(backend, clone, 6) == b"CLONED"


@pytest.mark.rule("idempotent")
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


@pytest.mark.short
@pytest.mark.rule("idempotent")
async def test_an_image_is_filled_in_twice(backend: Backend, tmp_path: Path) -> None:
    volume, image = a_volume(), a_raw_image(tmp_path / "image", b"\1" * MIB)
    await backend.create_from_image(volume, POOL, 1, image, no_progress)
    await backend.create_from_image(volume, POOL, 1, image, no_progress)
    assert (await backend.inventory()).volumes == {volume}


@pytest.mark.short
@pytest.mark.rule("bytes")
async def test_extending_twice_is_extending_once_and_never_shrinks(backend: Backend) -> None:
    volume = await volume_with(backend, b"kept")
    await backend.extend(volume, POOL, 3)
    await backend.extend(volume, POOL, 3)
    await backend.extend(volume, POOL, 2)
    assert await size_of(backend, volume) == 3 * GIB
    assert await read(backend, volume, 4) == b"kept"
    assert await read(backend, volume, 4, offset=2 * GIB) == bytes(4)


@pytest.mark.rule("idempotent")
async def test_equal_calls_at_once_make_one_volume(backend: Backend) -> None:
    source, clone = a_volume(), a_volume()
    await backend.create(source, POOL, 1)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress))
    inventory = await backend.inventory()
    assert inventory.volumes == {source, clone} and not inventory.leftovers


@pytest.mark.short
@pytest.mark.rule("restart")
async def test_finished_volumes_survive_a_restart(case: Case, backend: Backend) -> None:
    volume, snapshot = await volume_with(backend, b"before"), a_snapshot()
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    restarted = case.make()
    await restarted.start()
    inventory = await restarted.inventory()
    assert (inventory.volumes, inventory.snapshots) == ({volume}, {snapshot})
    assert await read(restarted, volume, 6) == b"before"


# --- what is absent ------------------------------------------------------------------------------------------


@pytest.mark.rule("errors")
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


@pytest.mark.rule("absent_is_deleted")
async def test_deleting_what_does_not_exist_succeeds(backend: Backend) -> None:
    await backend.delete(a_volume(), POOL)
    await backend.delete_snapshot(a_snapshot(), POOL)


# --- bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.short
@pytest.mark.rule("private")
async def test_a_new_volume_reads_as_zeroes_whatever_was_deleted_before(backend: Backend) -> None:
    volume = await volume_with(backend, b"secret" * 1000)
    await backend.delete(volume, POOL)
    await backend.create(volume, POOL, 1)
    assert await read(backend, volume, MIB) == bytes(MIB)
    assert await size_of(backend, volume) == GIB


@pytest.mark.rule("bytes")
async def test_a_clone_is_independent_of_its_source(backend: Backend) -> None:
    source, clone = await volume_with(backend, b"before"), a_volume()
    await backend.create_from_volume(clone, POOL, 2, source, POOL, no_progress)
    await write(backend, source, b"after!")
    await write(backend, clone, b"mine", offset=100)
    await backend.delete(source, POOL)
    assert await read(backend, clone, 6) == b"before"
    assert await read(backend, clone, 4, offset=100) == b"mine"
    assert await size_of(backend, clone) == 2 * GIB


@pytest.mark.rule("bytes")
async def test_a_clone_of_a_source_that_grew_has_the_size_asked_for(backend: Backend) -> None:
    source, clone = await volume_with(backend, b"bytes", size=2), a_volume()
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert await size_of(backend, clone) == GIB


@pytest.mark.short
@pytest.mark.rule("bytes")
async def test_a_snapshot_is_independent_of_its_volume(backend: Backend) -> None:
    volume, snapshot, restored = await volume_with(backend, b"before"), a_snapshot(), a_volume()
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    await write(backend, volume, b"after!")
    await backend.delete(volume, POOL)
    await backend.create_from_snapshot(restored, POOL, 1, snapshot, POOL, no_progress)
    await backend.delete_snapshot(snapshot, POOL)
    assert await read(backend, restored, 6) == b"before"


@pytest.mark.rule("bytes")
async def test_a_volume_goes_back_to_what_its_snapshot_kept_again_and_again(backend: Backend) -> None:
    volume, snapshot = await volume_with(backend, b"before"), a_snapshot()
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    for change in (b"after!", b"again!"):
        await write(backend, volume, change)
        for _ in range(2):
            await backend.revert(volume, POOL, snapshot, no_progress)
        assert await read(backend, volume, 6) == b"before"
    inventory = await backend.inventory()
    assert inventory.snapshots == {snapshot} and not inventory.leftovers


@pytest.mark.short
@pytest.mark.rule("bytes")
async def test_a_copy_that_is_flattened_keeps_its_bytes_and_needs_its_origin_no_more(backend: Backend) -> None:
    origin, copy, later = await volume_with(backend, b"before"), a_volume(), a_snapshot()
    await backend.create_from_volume(copy, POOL, 1, origin, POOL, no_progress)
    assert not await backend.is_deep(copy, POOL)
    await write(backend, copy, b"after!", 8 * MIB)
    await backend.create_snapshot(later, copy, POOL, no_progress)
    for _ in range(2):
        while await backend.flatten(copy, POOL, 1.0) < 1:
            pass
    await backend.extend(copy, POOL, 2)
    await backend.delete(origin, POOL)
    assert await read(backend, copy, 6) == b"before"
    await backend.revert(copy, POOL, later, no_progress)
    assert await read(backend, copy, 6, 8 * MIB) == b"after!"


@pytest.mark.rule("errors")
async def test_what_is_not_there_is_neither_deep_nor_flattened(backend: Backend) -> None:
    with pytest.raises(NotFound):
        await backend.is_deep(a_volume(), POOL)
    with pytest.raises(NotFound):
        await backend.flatten(a_volume(), POOL, 1.0)


@pytest.mark.rule("errors")
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


@pytest.mark.rule("idempotent")
async def test_a_released_volume_is_manageable_and_adopted_it_is_a_volume_again(backend: Backend) -> None:
    volume, other = a_volume(), a_volume()
    await backend.create(volume, POOL, 2 if backend.driver != "fake" else 1)
    known = {one.name for one in await backend.manageable(POOL)}
    for _ in range(2):
        await backend.put_aside(StoredObject("volume", volume, POOL), "let-go")
    assert {one.name for one in await backend.manageable(POOL)} == known | {"let-go"}
    assert volume not in (await backend.inventory()).volumes
    sizes = [await backend.adopt(StoredObject("volume", other, POOL), "let-go") for _ in range(2)]
    assert sizes[0] == sizes[1] >= 1
    assert {one.name for one in await backend.manageable(POOL)} == known
    assert other in (await backend.inventory()).volumes
    with pytest.raises(NotFound):
        await backend.adopt(StoredObject("volume", a_volume(), POOL), "let-go")


@pytest.mark.rule("bytes")
async def test_manageable_bytes_are_what_they_were(backend: Backend) -> None:
    volume, other = await volume_with(backend, b"mine"), a_volume()
    await backend.put_aside(StoredObject("volume", volume, POOL), "let-go")
    await backend.adopt(StoredObject("volume", other, POOL), "let-go")
    assert await read(backend, other, 4) == b"mine"


@pytest.mark.rule("bytes")
async def test_what_is_manageable_becomes_a_snapshot_of_which_volumes_are_made(backend: Backend) -> None:
    volume, snapshot, made = await volume_with(backend, b"mine"), a_snapshot(), a_volume()
    await backend.put_aside(StoredObject("volume", volume, POOL), "let-go")
    sizes = [await backend.adopt(StoredObject("snapshot", snapshot, POOL), "let-go") for _ in range(2)]
    assert sizes[0] == sizes[1] >= 1
    assert snapshot in {piece.id for piece in (await backend.inventory()).pieces if piece.kind == "snapshot"}
    await backend.create_from_snapshot(made, POOL, sizes[0], snapshot, POOL, no_progress)
    assert await read(backend, made, 4) == b"mine"


@pytest.mark.rule("errors")
async def test_a_name_that_something_else_has_is_not_taken_from_it(backend: Backend) -> None:
    one, two = a_volume(), a_volume()
    for volume in (one, two):
        await backend.create(volume, POOL, 1)
    await backend.put_aside(StoredObject("volume", one, POOL), "let-go")
    with pytest.raises(Conflict):
        await backend.put_aside(StoredObject("volume", two, POOL), "let-go")
    assert two in (await backend.inventory()).volumes


@pytest.mark.rule("idempotent")
async def test_a_pool_bears_the_last_mark_and_it_is_no_bytes(backend: Backend) -> None:
    known = await backend.manageable(POOL), await backend.inventory()
    for place in ("old-host@files#pool", "a.b!c&d@files_1#pool+2"):
        ours = Mark(new_id(), place)
        for _ in range(2):
            await backend.set_mark(POOL, ours)
            assert await backend.mark(POOL) == ours
    assert await backend.pool_names() == [POOL]
    assert (await backend.manageable(POOL), await backend.inventory()) == known


@pytest.mark.rule("restart")
async def test_a_marked_pool_is_served_by_one_alone_until_it_has_ended(case: Case, backend: Backend) -> None:
    if not backend.keeps:
        pytest.skip("what is in memory nobody else has")
    for place in ("here@files#pool", "there@files#pool"):  # marked anew it is still occupied
        await backend.set_mark(POOL, Mark(new_id(), place))
        for _ in range(2):
            await backend.occupy(POOL, shared=False)
        for shared in (False, True):
            with pytest.raises(Misconfigured, match="served by"):
                await case.make().occupy(POOL, shared=shared)


@pytest.mark.rule("idempotent")
@pytest.mark.parametrize("kind", ["volume", "snapshot"])
async def test_what_is_put_aside_is_manageable_and_put_back_it_is_what_it_was(
    backend: Backend, kind: Literal["volume", "snapshot"]
) -> None:
    volume, snapshot = a_volume(), a_snapshot()
    await backend.create(volume, POOL, 1)
    await backend.create_snapshot(snapshot, volume, POOL, no_progress)
    known, before = await backend.manageable(POOL), await backend.inventory()
    piece = StoredObject(kind, volume if kind == "volume" else snapshot, POOL)
    name = f"orphan-20261125-{piece.kind}-{piece.id}"
    for _ in range(2):
        await backend.put_aside(piece, name)
    assert (await backend.inventory()).pieces == before.pieces - {piece}
    assert {one.name for one in await backend.manageable(POOL)} == {one.name for one in known} | {name}
    for _ in range(2):
        await backend.put_back(piece, name)
    assert await backend.inventory() == before
    assert await backend.manageable(POOL) == known


@pytest.mark.rule("bytes")
async def test_what_is_put_aside_and_back_has_the_bytes_it_had(backend: Backend) -> None:
    aside = f"aside-{new_id()}"  # others may have left theirs in the pool
    volume = await volume_with(backend, b"mine")
    piece = StoredObject("volume", volume, POOL)
    await backend.put_aside(piece, aside)
    with pytest.raises(NotFound):
        await backend.device(volume, POOL)
    await backend.put_back(piece, aside)
    assert await read(backend, volume, 4) == b"mine"


@pytest.mark.rule("errors")
async def test_what_is_put_aside_takes_no_name_and_comes_back_over_nothing(backend: Backend) -> None:
    aside = f"aside-{new_id()}"  # others may have left theirs in the pool
    one, two = (StoredObject("volume", a_volume(), POOL) for _ in range(2))
    for piece in (one, two):
        await backend.create(VolumeId(piece.id), POOL, 1)
    await backend.put_aside(one, aside)
    with pytest.raises(Conflict):
        await backend.put_aside(two, aside)
    await backend.put_back(two, aside)
    assert aside in {one.name for one in await backend.manageable(POOL)}
    with pytest.raises(NotFound):
        await backend.put_back(StoredObject("volume", a_volume(), POOL), "not-there")


@pytest.mark.rule("idempotent")
async def test_what_is_manageable_and_given_up_is_gone_and_so_is_what_was_not_there(backend: Backend) -> None:
    aside = f"aside-{new_id()}"  # others may have left theirs in the pool
    piece = StoredObject("volume", a_volume(), POOL)
    await backend.create(VolumeId(piece.id), POOL, 1)
    known = await backend.manageable(POOL)
    await backend.put_aside(piece, aside)
    for _ in range(2):
        await backend.give_up(POOL, aside)
    assert await backend.manageable(POOL) == known


@pytest.mark.rule("sparse")
async def test_holes_stay_holes_in_a_clone(case: Case, backend: Backend) -> None:
    source, clone = await volume_with(backend, os.urandom(MIB)), a_volume()
    await write(backend, source, os.urandom(MIB), offset=GIB - MIB)
    await backend.create_from_volume(clone, POOL, 1, source, POOL, no_progress)
    assert await read(backend, clone, MIB, offset=GIB - MIB) == await read(backend, source, MIB, GIB - MIB)
    async with backend.opened(clone, POOL) as device:
        assert await case.allocated(device) <= 4 * MIB


@pytest.mark.rule("bytes")
async def test_an_image_becomes_the_beginning_of_its_volume(backend: Backend, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB)
    raw = a_raw_image(tmp_path / "image.raw", data)
    for image in (raw, as_qcow2(raw)):
        volume = a_volume()
        told: list[float] = []
        await backend.create_from_image(volume, POOL, 1, image, told.append)
        assert await read(backend, volume, len(data)) == data
        assert await read(backend, volume, MIB, offset=GIB - MIB) == bytes(MIB)
        assert told and told == sorted(told) and told[-1] == 1.0


@pytest.mark.short
@pytest.mark.rule("errors")
async def test_an_image_larger_than_its_volume_is_refused(backend: Backend, tmp_path: Path) -> None:
    image = ImageFile(a_raw_image(tmp_path / "image", b"small").path, "raw", GIB + 1)
    with pytest.raises(ImageRefused, match="2 GiB and does not fit into 1 GiB"):
        await backend.create_from_image(a_volume(), POOL, 1, image, no_progress)
    inventory = await backend.inventory()
    assert not inventory.volumes and not inventory.leftovers


@pytest.mark.rule("errors")
async def test_an_image_of_a_cluster_that_is_not_its_own_is_not_cloned(backend: Backend) -> None:
    elsewhere = RbdLocation("0b6bb6b8-5b1b-4b0e-9d7e-0c3f6a0a1c11", "images", "image", "snap")
    assert not await backend.clone_image(a_volume(), POOL, 1, elsewhere, no_progress)
    assert not (await backend.inventory()).pieces


@pytest.mark.rule("bytes")
async def test_a_malformed_image_is_refused_and_leaves_nothing(backend: Backend, tmp_path: Path) -> None:
    image = ImageFile(a_raw_image(tmp_path / "image", b"QFI\xfb" + bytes(2000)).path, "qcow2", MIB)
    with pytest.raises(ImageRefused):
        await backend.create_from_image(a_volume(), POOL, 1, image, no_progress)
    inventory = await backend.inventory()
    assert not inventory.volumes and not inventory.leftovers


@pytest.mark.rule("bytes")
async def test_progress_ends_at_one(backend: Backend) -> None:
    source, told = a_volume(), list[float]()
    await backend.create(source, POOL, 1)
    await backend.create_from_volume(a_volume(), POOL, 1, source, POOL, told.append)
    assert told[-1] == 1.0 and all(0 <= done <= 1 for done in told)


class Writer(threading.Thread):
    """Counts at two places of a device, always at the first place first."""

    def __init__(self, device: Path) -> None:
        super().__init__(daemon=True)
        self.device = device
        self.count = 0
        self.over = False

    def run(self) -> None:
        file = os.open(self.device, os.O_WRONLY | os.O_SYNC)
        while not self.over:
            self.count += 1
            for offset in (0, 500 * MIB):
                os.pwrite(file, self.count.to_bytes(8), offset)
        os.close(file)


@pytest.mark.short
@pytest.mark.rule("one_moment")
async def test_a_snapshot_of_a_volume_in_use_is_of_one_moment(backend: Backend) -> None:
    volume, snapshot, restored = await volume_with(backend, os.urandom(16 * MIB)), a_snapshot(), a_volume()
    async with backend.opened(volume, POOL) as device:
        writer = Writer(device)
        writer.start()
        async with patience():
            while writer.count < 3:
                await asyncio.sleep(0.01)
        await backend.create_snapshot(snapshot, volume, POOL, no_progress)
        seen = writer.count
        async with patience():
            while writer.count < seen + 3:
                await asyncio.sleep(0.01)
        writer.over = True
        await asyncio.to_thread(writer.join)
    await backend.create_from_snapshot(restored, POOL, 1, snapshot, POOL, no_progress)
    first = int.from_bytes(await read(backend, restored, 8))
    second = int.from_bytes(await read(backend, restored, 8, offset=500 * MIB))
    assert first - second in (0, 1)


# --- cut short -----------------------------------------------------------------------------------------------


@pytest.mark.rule("cut_short")
async def test_a_cancelled_clone_is_all_there_or_not_at_all(backend: Backend) -> None:
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


@pytest.mark.rule("cut_short")
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


@pytest.mark.rule("cut_short")
@pytest.mark.parametrize("verb", ["clone", "snapshot", "image"])
async def test_what_is_killed_in_the_middle_is_never_served_and_made_anew(
    case: Case, backend: Backend, tmp_path: Path, verb: str
) -> None:
    data = os.urandom(40 * MIB)
    source = await volume_with(backend, data)
    wanted = a_volume() if verb != "snapshot" else a_snapshot()
    image = a_raw_image(tmp_path / "image", data[:MIB])
    origin = str(image.path) if verb == "image" else source
    await asyncio.to_thread(killed_while, case.kind, case.directory, verb, wanted, origin)
    restarted = case.make()
    await restarted.start()
    inventory = await restarted.inventory()
    done = wanted in inventory.volumes | inventory.snapshots
    assert done or len(inventory.leftovers) >= 1
    match verb:
        case "clone":
            if not done:
                with pytest.raises(NotFound):
                    await restarted.device(VolumeId(wanted), POOL)
            await restarted.create_from_volume(VolumeId(wanted), POOL, 1, source, POOL, no_progress)
            assert await read(restarted, VolumeId(wanted), len(data)) == data
        case "image":
            await restarted.create_from_image(VolumeId(wanted), POOL, 1, image, no_progress)
            assert await read(restarted, VolumeId(wanted), MIB) == data[:MIB]
        case _:
            await restarted.create_snapshot(SnapshotId(wanted), source, POOL, no_progress)
            restored = a_volume()
            await restarted.create_from_snapshot(restored, POOL, 1, SnapshotId(wanted), POOL, no_progress)
            assert await read(restarted, restored, len(data)) == data
    assert not (await restarted.inventory()).leftovers


@pytest.mark.rule("cut_short")
@pytest.mark.parametrize("verb", ["snapshot", "image"])
async def test_deleting_removes_what_a_killed_call_left(
    case: Case, backend: Backend, tmp_path: Path, verb: str
) -> None:
    source = await volume_with(backend, b"bytes" * MIB)
    wanted = a_volume() if verb == "image" else a_snapshot()
    origin = str(a_raw_image(tmp_path / "image", b"1" * MIB).path) if verb == "image" else source
    await asyncio.to_thread(killed_while, case.kind, case.directory, verb, wanted, origin)
    if verb == "image":
        await backend.delete(VolumeId(wanted), POOL)
    else:
        await backend.delete_snapshot(SnapshotId(wanted), POOL)
    inventory = await backend.inventory()
    assert inventory.volumes == {source} and not inventory.snapshots and not inventory.leftovers


# --- many ----------------------------------------------------------------------------------------------------


@pytest.mark.rule("many")
@pytest.mark.timeout(1800)
async def test_200_volumes_come_and_go_at_once(case: Case, backend: Backend) -> None:
    # Under emulation a volume of LVM costs seconds, and in Ceph tens of commands: some lanes have all 200.
    usual = 24 if case.kind.startswith(("lvm", "rbd")) else 200
    volumes = [a_volume() for _ in range(int(os.environ.get("TEST_MANY", usual)))]
    async with asyncio.TaskGroup() as group:
        for volume in volumes:
            group.create_task(backend.create(volume, POOL, 1))
    inventory = await backend.inventory()
    assert inventory.volumes == set(volumes) and not inventory.leftovers
    async with asyncio.TaskGroup() as group:
        for volume in volumes:
            group.create_task(backend.delete(volume, POOL))
    inventory = await backend.inventory()
    assert not inventory.volumes and not inventory.leftovers


@pytest.mark.rule("names")
async def test_an_id_that_is_none_is_a_bug_of_ours(case: Case, backend: Backend) -> None:
    for name in ("../escape", "", "VOLUME", f"{new_id()}.part", new_id().upper()):
        with pytest.raises(Invalid):
            await backend.create(VolumeId(name), POOL, 1)

"""Backups in chunks: the bytes come back, only what changed is kept, and nothing is written twice."""

import asyncio
import json
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.s3_server import REAL_STORE

from pumice.backends.backups import layout
from pumice.backends.backups.chunked import ChunkedBackups
from pumice.backends.backups.chunks import BLOCK
from pumice.backends.backups.contract import Damaged, Record
from pumice.backends.backups.posix import PosixObjects
from pumice.backends.backups.s3 import S3Objects
from pumice.model.errors import Invalid, Misconfigured, NotFound, Retryable, TryAnotherBackend
from pumice.model.ids import new_id
from pumice.model.units import MIB

SIZE = 4 * MIB
CHUNK = MIB
AT = datetime(2026, 11, 26, 12)


class Counting:
    """A driver's objects, that counts what is put, and dies at the put of a name."""

    dies_at = ""

    def __init__(self, kept: PosixObjects | S3Objects) -> None:
        self.kept = kept
        self.bucket = kept.access.bucket if isinstance(kept, S3Objects) else None
        self.put_names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kept, name)

    def put(self, container: str, name: str, data: bytes) -> None:
        if self.dies_at and name.endswith(self.dies_at):
            raise Retryable("It dies here.")
        self.kept.put(container, name, data)
        self.put_names.append(name)

    def store(self, chunk_size: int = CHUNK, compression: str = "zstd") -> ChunkedBackups:
        return ChunkedBackups(
            self, driver="d", service="s", bucket=self.bucket, chunk_size=chunk_size, compression=compression
        )

    def a_record(self, parent: Record | None = None) -> Record:
        return a_record(parent, self.bucket)


COMPRESSED = pytest.mark.parametrize(
    ("objects", "store"),
    [
        ("posix", "zstd"),
        ("posix", "zlib"),
        ("posix", "none"),
        ("moto", "zstd"),
        pytest.param(*REAL_STORE.values, "zstd", marks=REAL_STORE.marks),
    ],
    indirect=True,
)


@pytest.fixture
def posix(tmp_path: Path) -> PosixObjects:
    (tmp_path / "store").mkdir()
    return PosixObjects(tmp_path / "store")


@pytest.fixture(params=["posix", "moto", REAL_STORE])
def objects(request: pytest.FixtureRequest) -> Counting:
    kept = request.getfixturevalue(request.param)
    return Counting(kept if request.param == "posix" else kept.objects())


@pytest.fixture
def store(objects: Counting, request: pytest.FixtureRequest) -> ChunkedBackups:
    return objects.store(compression=request.param)


@pytest.fixture
def only(objects: Counting) -> ChunkedBackups:
    return objects.store()


def a_record(parent: Record | None = None, bucket: str | None = None) -> Record:
    backup = new_id()
    volume = parent.volume_id if parent else new_id()
    return Record(
        id=backup,
        volume_id=volume,
        size=SIZE,
        container=layout.container_for(backup, None, bucket),
        prefix=layout.prefix_of(volume, backup, AT, zone="no/va_1" if bucket else None),
        created_at=AT,
        parent_id=parent.id if parent else None,
    )


def a_volume(path: Path, *written: tuple[int, bytes]) -> Path:
    path.write_bytes(b"")
    os.truncate(path, SIZE)
    return change(path, *written)


def change(path: Path, *written: tuple[int, bytes]) -> Path:
    with path.open("r+b") as file:
        for offset, data in written:
            file.seek(offset)
            file.write(data)
    return path


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


DATA = ((0, noise(3 * BLOCK)), (CHUNK + 5, b"in the second"), (3 * CHUNK + 100_000, noise(BLOCK) * 3))


async def write(
    store: ChunkedBackups, record: Record, device: Path, parent: Record | None = None
) -> tuple[int, int]:
    written = await store.write(record, device, parent, lambda _: None)
    return written.objects, written.kept


async def restored(
    store: ChunkedBackups, chain: Sequence[Record], target: Path, *, is_new: bool = True
) -> bytes:
    await store.restore(chain, target, is_new=is_new, progress=lambda _: None)
    return target.read_bytes()


@COMPRESSED
async def test_the_bytes_come_back_in_a_new_volume_and_over_an_old_one(
    store: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    assert await write(store, record, device) == (4, 0)
    new = a_volume(tmp_path / "new")
    assert await restored(store, [record], new) == device.read_bytes()
    assert new.stat().st_blocks <= device.stat().st_blocks + MIB // 512, "holes were filled"
    old = a_volume(tmp_path / "old", (0, noise(SIZE)))
    assert await restored(store, [record], old, is_new=False) == device.read_bytes()


@COMPRESSED
async def test_an_incremental_one_has_what_changed_and_zeroes_that_came(
    store: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, full = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    await write(store, full, device)
    change(device, (BLOCK, bytes(BLOCK)), (2 * CHUNK, b"x"), (2 * CHUNK + 5 * BLOCK, b"y"))
    second = objects.a_record(full)
    assert await write(store, second, device, full) == (3, 0)
    third = objects.a_record(second)
    assert await write(store, third, device, second) == (0, 0)
    for is_new, old in ((True, b""), (False, noise(SIZE))):
        target = a_volume(tmp_path / "target", (0, old))
        assert await restored(store, [full, second, third], target, is_new=is_new) == device.read_bytes()


@pytest.mark.parametrize("dies_at", ["-00003", "_progress-00002", "_sha256file", "_metadata"])
async def test_it_goes_on_where_it_was_cut_short(
    only: ChunkedBackups, objects: Counting, tmp_path: Path, dies_at: str
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    objects.dies_at = dies_at
    with pytest.raises(Retryable):
        await write(only, record, device)
    stood = sum("_progress-" in name for name in objects.put_names)
    objects.dies_at, objects.put_names = "", []
    assert await write(only, record, device) == (4, stood)
    assert sum(name[-6] == "-" and "progress" not in name for name in objects.put_names) == 4 - stood
    assert await restored(only, [record], a_volume(tmp_path / "new")) == device.read_bytes()
    assert not objects.names(record.container, ".")
    assert await write(only, record, device) == (4, 0), "a whole one is written again"


class Unsettled(Counting):
    """A power cut empties what was not settled."""

    def __init__(self, kept: PosixObjects) -> None:
        super().__init__(kept)
        self.put_since: set[tuple[str, str]] = set()

    def put(self, container: str, name: str, data: bytes) -> None:
        super().put(container, name, data)
        self.put_since.add((container, name))

    def settle(self, container: str, names: Sequence[str]) -> None:
        self.kept.settle(container, names)
        self.put_since -= {(container, name) for name in names}

    def cut(self) -> None:
        for container, name in self.put_since:
            if name in self.kept.names(container, name):
                self.kept.put(container, name, b"")
        self.put_since = set()


@pytest.mark.parametrize("dies_at", ["-00002", "-00004", "_sha256file", "_metadata"])
async def test_a_power_cut_takes_what_is_begun_anew_and_nothing_of_a_whole_one(
    posix: PosixObjects, tmp_path: Path, dies_at: str
) -> None:
    objects = Unsettled(posix)
    store, device, record = objects.store(), a_volume(tmp_path / "volume", *DATA), objects.a_record()
    objects.dies_at = dies_at
    with pytest.raises(Retryable):
        await write(store, record, device)
    objects.cut()
    assert not any(found.whole for found in await store.inventory([]))
    objects.dies_at = ""
    assert (await write(store, record, device))[0] == 4
    objects.cut()
    await store.check(record)
    assert await restored(store, [record], a_volume(tmp_path / "new")) == device.read_bytes()


async def test_what_stands_is_kept_only_if_it_is_what_was_written(
    only: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    objects.dies_at = "-00004"
    with pytest.raises(Retryable):
        await write(only, record, device)
    objects.dies_at = ""
    objects.kept.put(record.container, f"{record.prefix}-00002", b"torn")
    assert await write(only, record, device) == (4, 1)
    assert await restored(only, [record], a_volume(tmp_path / "new")) == device.read_bytes()


async def test_chunks_of_another_size_are_begun_anew(
    only: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    objects.dies_at = "_sha256file"
    with pytest.raises(Retryable):
        await write(only, record, device)
    objects.dies_at = ""
    assert await write(objects.store(2 * CHUNK), record, device) == (2, 0)
    assert await restored(only, [record], a_volume(tmp_path / "new")) == device.read_bytes()


@COMPRESSED
@pytest.mark.parametrize(
    "harm", [lambda data: data[: len(data) // 2], lambda data: bytes(99) + data[99:], lambda _: b""]
)
async def test_what_is_damaged_is_not_restored_as_if_it_were_whole(
    store: ChunkedBackups, objects: Counting, tmp_path: Path, harm: object
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    await write(store, record, device)
    name = f"{record.prefix}-00001"
    objects.put(record.container, name, harm(objects.get(record.container, name)))  # type: ignore[operator]
    with pytest.raises(Damaged):
        await restored(store, [record], a_volume(tmp_path / "new"))


async def test_a_missing_object_is_told_and_so_is_one_too_many(
    only: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    await write(only, record, device)
    objects.put(record.container, f"{record.prefix}-00009", b"")
    with pytest.raises(Damaged):
        await only.check(record)
    objects.remove(record.container, [f"{record.prefix}-00009", f"{record.prefix}-00002"])
    with pytest.raises(Damaged):
        await only.check(record)
    with pytest.raises(NotFound):
        await only.check(objects.a_record())


async def test_a_bomb_is_no_larger_than_its_object_says(
    only: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, record = a_volume(tmp_path / "volume"), objects.a_record()
    await write(only, record, device)
    said = json.loads(objects.get(record.container, layout.metadata_name(record)))
    next(iter(said["objects"][0].values()))["length"] = 10
    objects.put(record.container, layout.metadata_name(record), json.dumps(said).encode())
    with pytest.raises(Damaged):
        await restored(only, [record], a_volume(tmp_path / "new"))


async def test_deleting_leaves_nothing_whatever_was_there(
    only: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    await write(only, record, device)
    half = objects.a_record()
    objects.dies_at = "-00003"
    with pytest.raises(Retryable):
        await write(only, half, device)
    assert {(it.id, it.whole) for it in await only.inventory([])} == {(record.id, True), (half.id, False)}
    for each in (record, half, record):
        await only.delete(each)
    assert await only.inventory([]) == []
    left = objects.kept.directory.iterdir() if isinstance(objects.kept, PosixObjects) else objects.every([])
    assert list(left) == []


async def test_two_backups_in_one_container_are_two(
    only: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device = a_volume(tmp_path / "volume", *DATA)
    one, two = (replace(objects.a_record(), container=objects.bucket or "mine/ours") for _ in range(2))
    for each in (one, two):
        await write(only, each, device)
    await only.delete(one)
    assert await restored(only, [two], a_volume(tmp_path / "new")) == device.read_bytes()


@pytest.mark.parametrize("name", ["..", "a/../../b", "/etc", "a//b", "a\0b", "."])
def test_no_container_is_outside_of_the_directory(posix: PosixObjects, name: str) -> None:
    with pytest.raises(Invalid):
        layout.container_for(new_id(), name)
    with pytest.raises(Invalid):
        posix.put(name, "object", b"")


def test_no_name_is_a_path(posix: PosixObjects) -> None:
    name = layout.prefix_of(new_id(), new_id(), AT, zone="../../../etc")
    for call in (lambda: posix.put("a", name, b""), lambda: posix.get("a", name)):
        with pytest.raises(Invalid):
            call()


def test_where_one_bucket_has_all_nobody_names_another() -> None:
    for wanted in (None, "", "ours"):
        assert layout.container_for(new_id(), wanted, "ours") == "ours"
    with pytest.raises(Invalid):
        layout.container_for(new_id(), "theirs", "ours")


async def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    store = ChunkedBackups(PosixObjects(tmp_path / "unmounted"), driver="posix", service="s")
    with pytest.raises(Misconfigured):
        await store.look()
    with pytest.raises(Misconfigured):
        await write(store, a_record(), a_volume(tmp_path / "volume"))
    assert not (tmp_path / "unmounted").exists()


async def test_a_full_disk_is_said_to_be_full() -> None:
    objects = PosixObjects(Path("/dev"))
    with pytest.raises((TryAnotherBackend, Retryable, Misconfigured)):
        objects.put("full", "object", b"x")


async def test_cancelling_stops_the_thread_and_what_was_written_is_kept(
    only: ChunkedBackups, objects: Counting, tmp_path: Path
) -> None:
    device, record = a_volume(tmp_path / "volume", *DATA), objects.a_record()
    writing: asyncio.Task[tuple[int, int]]

    class Slow(Counting):
        def put(self, container: str, name: str, data: bytes) -> None:
            super().put(container, name, data)
            if name.endswith("_progress-00002"):
                loop.call_soon_threadsafe(writing.cancel)

    loop = asyncio.get_running_loop()
    slow = Slow(objects.kept).store()
    writing = asyncio.create_task(write(slow, record, device))
    with pytest.raises(asyncio.CancelledError):
        await writing
    objects_, kept = await write(only, record, device)
    assert objects_ == 4 and kept >= 2

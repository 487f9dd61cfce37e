"""What the ``files`` backend promises beyond the contract: paths, capacity, and disks that are full or away."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from pumice.backends import files as files_module
from pumice.backends import sparse
from pumice.backends.contract import ImageFile, no_progress
from pumice.backends.files import FilesBackend
from pumice.model.errors import Invalid, Misconfigured, TryAnotherBackend
from pumice.model.ids import SnapshotId, VolumeId, new_id
from pumice.model.stored import StoredObject
from pumice.model.units import MIB


@pytest.fixture
async def files(tmp_path: Path) -> FilesBackend:
    backend = FilesBackend({"pool": tmp_path / "pool"})
    await backend.start()
    return backend


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mountpoint = tmp_path / "small"
    mountpoint.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mountpoint]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a tmpfs")
    yield mountpoint
    subprocess.run(["umount", mountpoint], check=True)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..",
        "",
        "/etc/passwd",
        "6EDB0000-0000-4000-8000-000000000000",
        "{6edb0000-0000-4000-8000-000000000000}",
    ],
)
async def test_nothing_but_an_id_names_a_file(files: FilesBackend, name: str) -> None:
    with pytest.raises(Invalid):
        await files.create(VolumeId(name), "pool", 1)
    with pytest.raises(Invalid):
        await files.delete(VolumeId(name), "pool")
    with pytest.raises(Invalid):
        await files.delete_snapshot(SnapshotId(name), "pool")
    with pytest.raises(Invalid):
        await files.device(VolumeId(name), "pool")


async def test_a_blank_volume_takes_no_space(files: FilesBackend) -> None:
    volume = VolumeId(new_id())
    await files.create(volume, "pool", 1000)
    assert (await files.device(volume, "pool")).stat().st_blocks == 0


async def test_files_are_private_to_the_user_that_runs_the_service(files: FilesBackend) -> None:
    volume = VolumeId(new_id())
    await files.create(volume, "pool", 1)
    assert (await files.device(volume, "pool")).stat().st_mode & 0o777 == 0o600


async def test_a_capacity_that_is_set_caps_what_a_pool_reports(tmp_path: Path) -> None:
    files = FilesBackend({"pool": tmp_path}, capacity_gb=0.5, reserved_percentage=10)
    await files.start()
    volume = VolumeId(new_id())
    await files.create(volume, "pool", 1)
    (await files.device(volume, "pool")).write_bytes(os.urandom(MIB))
    [pool] = await files.pools()
    assert pool.total_gb == 0.5 and pool.free_gb <= 0.5 - 1 / 1024
    assert pool.thin and pool.reserved_percentage == 10


async def test_a_pool_that_cannot_be_made_is_a_setting_to_repair(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="Pool 'pool'"):
        await FilesBackend({"pool": tmp_path / "file" / "pool"}).start()


async def test_deleting_from_a_pool_that_is_away_is_not_taken_for_done(
    files: FilesBackend, tmp_path: Path
) -> None:
    volume = VolumeId(new_id())
    await files.create(volume, "pool", 1)
    (tmp_path / "pool").rename(tmp_path / "away")
    with pytest.raises(TryAnotherBackend):
        await files.delete(volume, "pool")
    with pytest.raises(TryAnotherBackend):
        await files.create(VolumeId(new_id()), "pool", 1)
    (tmp_path / "away").rename(tmp_path / "pool")
    await files.delete(volume, "pool")
    assert not (await files.inventory()).volumes


def test_a_copy_that_is_told_to_stop_stops_at_the_next_step(tmp_path: Path) -> None:
    source, target, stop, told = tmp_path / "source", tmp_path / "target", threading.Event(), list[float]()
    source.write_bytes(bytes(64 * MIB))
    target.touch()

    def stop_at_once(done: float) -> None:
        told.append(done)
        stop.set()

    sparse.copy(source, target, stop_at_once, stop)
    assert len(told) == 1


async def test_a_clone_crosses_file_systems(tmp_path: Path, small_disk: Path) -> None:
    files = FilesBackend({"pool": tmp_path / "pool", "small": small_disk})
    await files.start()
    source, clone, data = VolumeId(new_id()), VolumeId(new_id()), os.urandom(2 * MIB)
    await files.create(source, "small", 1)
    with (await files.device(source, "small")).open("r+b") as device:
        device.write(data)
    await files.create_from_volume(clone, "pool", 1, source, "small", no_progress)
    with (await files.device(clone, "pool")).open("rb") as device:
        assert device.read(2 * MIB) == data


async def test_a_full_disk_sends_a_clone_elsewhere_and_is_left_empty(tmp_path: Path, small_disk: Path) -> None:
    files = FilesBackend({"pool": tmp_path / "pool", "small": small_disk})
    await files.start()
    source, clone = VolumeId(new_id()), VolumeId(new_id())
    await files.create(source, "pool", 1)
    with (await files.device(source, "pool")).open("r+b") as device:
        device.write(os.urandom(8 * MIB))
    with pytest.raises(TryAnotherBackend, match=r"^The pool is full\.$") as told:
        await files.create_from_volume(clone, "small", 1, source, "pool", no_progress)
    assert told.value.detail == "Pool 'small'.", "which is an operator's to know"
    assert os.listdir(small_disk / "volumes") == []
    await files.create_from_volume(clone, "pool", 1, source, "pool", no_progress)


async def test_a_full_disk_sends_an_image_elsewhere_and_is_left_empty(tmp_path: Path, small_disk: Path) -> None:
    files = FilesBackend({"small": small_disk})
    await files.start()
    image = tmp_path / "image"
    image.write_bytes(os.urandom(8 * MIB))
    with pytest.raises(TryAnotherBackend, match="no space left"):
        await files.create_from_image(
            VolumeId(new_id()), "small", 1, ImageFile(image, "raw", 8 * MIB), no_progress
        )
    assert os.listdir(small_disk / "volumes") == []


async def test_a_call_that_wakes_up_late_puts_nothing_in_the_place_of_what_another_made(
    files: FilesBackend, tmp_path: Path
) -> None:
    """Two processes on one pool: the first stops while it fills the file, the second makes it meanwhile."""
    other, volume = FilesBackend({"pool": tmp_path / "pool"}), VolumeId(new_id())
    path = tmp_path / "pool" / "volumes" / volume
    began, woken = asyncio.Event(), asyncio.Event()

    async def stop(part: Path) -> None:
        part.write_bytes(b"half")
        began.set()
        await woken.wait()

    late = asyncio.create_task(files._make(path, "pool", stop))
    await began.wait()
    await other.create(volume, "pool", 1)
    woken.set()
    with pytest.raises(TryAnotherBackend):
        await late
    assert path.stat().st_size == 1024 * MIB
    assert not (await other.inventory()).leftovers


async def test_a_revert_that_was_given_up_while_its_disk_hung_changes_nothing_when_that_is_back(
    files: FilesBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, snapshot, hangs, back = (
        VolumeId(new_id()),
        SnapshotId(new_id()),
        threading.Event(),
        threading.Event(),
    )
    await files.create(volume, "pool", 1)
    await files.create_snapshot(snapshot, volume, "pool", no_progress)
    path = await files.device(volume, "pool")
    path.write_bytes(b"new")

    def sync(_: Path) -> None:
        hangs.set()
        assert back.wait(PATIENCE)

    monkeypatch.setattr(files_module, "sync", sync)
    reverting = asyncio.create_task(files.revert(volume, "pool", snapshot, no_progress))
    await asyncio.to_thread(hangs.wait, PATIENCE)
    reverting.cancel()
    await asyncio.sleep(0)
    back.set()
    await asyncio.wait({reverting})
    assert reverting.cancelled() and path.read_bytes() == b"new"
    assert not (await files.inventory()).leftovers


async def test_a_leftover_beside_whole_bytes_is_discarded_and_they_stay(
    files: FilesBackend, tmp_path: Path
) -> None:
    volume = VolumeId(new_id())
    await files.create(volume, "pool", 1)
    (tmp_path / "pool" / "volumes" / f".{volume}.0.part").write_bytes(b"of a process that woke up too late")
    [leftover] = (await files.inventory()).leftovers
    assert leftover == StoredObject("volume", volume, "pool", whole=False)
    for _ in range(2):
        await files.discard(leftover)
    assert (await files.inventory()).pieces == {StoredObject("volume", volume, "pool")}


async def test_no_call_for_one_volume_goes_through_the_names_of_all(
    files: FilesBackend, tmp_path: Path
) -> None:
    """Else each costs as much as there are volumes: at ten thousand, five times what it should."""
    shelves = {tmp_path / "pool" / name for name in ("volumes", "snapshots")}
    listed: list[Path] = []
    looking = True

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if looking and event in ("os.scandir", "os.listdir") and Path(str(arguments[0])) in shelves:
            listed.append(Path(str(arguments[0])))

    sys.addaudithook(look)  # for good
    volume, clone, snapshot = VolumeId(new_id()), VolumeId(new_id()), SnapshotId(new_id())
    await files.create(volume, "pool", 1)
    await files.create_from_volume(clone, "pool", 1, volume, "pool", no_progress)
    await files.create_snapshot(snapshot, volume, "pool", no_progress)
    await files.extend(clone, "pool", 2)
    await files.revert(volume, "pool", snapshot, no_progress)
    await files.device(volume, "pool")
    await files.delete(clone, "pool")
    await files.delete_snapshot(snapshot, "pool")
    assert not listed
    assert len((await files.inventory()).pieces) == 1
    looking = False
    assert set(listed) == shelves, "an inventory does"

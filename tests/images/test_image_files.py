"""The files of images by themselves: their names, and bytes on their way out."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pumice.host.thread import MOST, in_thread
from pumice.images.files import ImageFiles
from pumice.images.lock import ImageLock
from pumice.model.errors import Conflict, Invalid, Misconfigured
from pumice.model.ids import ImageId, new_id


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    return ImageFiles(tmp_path / "images")


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def kept(files: ImageFiles, content: bytes) -> ImageId:
    image_id = ImageId(new_id())
    await files.save(image_id, once(content))
    await files.publish(image_id)
    return image_id


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "", "/etc/passwd", "6EDB0000-0000-4000-8000-000000000000"]
)
async def test_nothing_but_an_id_names_a_file(files: ImageFiles, name: str) -> None:
    with pytest.raises(Invalid):
        async with files.opened(name):
            pass
    with pytest.raises(Invalid):
        await files.save(ImageId(name), once(b"bytes"))
    with pytest.raises(Invalid):
        await files.keep_only(ImageId(name), whole=False)
    with pytest.raises(Invalid):
        async with files.lock(ImageId(name)):
            pass


async def test_an_image_is_not_kept_before_it_is_published(files: ImageFiles) -> None:
    image_id = ImageId(new_id())
    await files.save(image_id, once(b"bytes"))
    assert await files.kept() == frozenset()
    await files.publish(image_id)
    assert await files.kept() == {image_id}
    assert [piece async for piece in files.read(image_id, 0, 5)] == [b"bytes"]


@pytest.mark.timeout(60)
async def test_a_directory_that_hangs_is_in_the_way_of_images_alone(files: ImageFiles) -> None:
    """What opens a pipe that nobody reads waits in the kernel, as on a disk that does not answer."""
    ids = [ImageId(new_id()) for _ in range(2 * MOST)]
    pipes = [files.directory / f".{image_id}.part" for image_id in ids]
    for pipe in pipes:
        os.mkfifo(pipe)
    uploads = [asyncio.create_task(files.save(image_id, once(b"bytes"))) for image_id in ids]
    await asyncio.sleep(0.2)  # all of them have begun
    assert await in_thread(lambda: "others go on") == "others go on"
    assert not any(upload.done() for upload in uploads)
    readers = [os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) for pipe in pipes]
    await asyncio.gather(*uploads, return_exceptions=True)
    for reader in readers:
        os.close(reader)


async def test_what_an_orphan_still_writes_is_in_no_image(files: ImageFiles) -> None:
    """A command outlives the process that started it, and the step is done again meanwhile."""
    image_id = ImageId(new_id())
    with (files.directory / f".{image_id}.part").open("wb", buffering=0) as orphan:

        async def fill(path: Path) -> None:
            path.write_bytes(b"bytes")
            orphan.write(b"other")

        made = await files.make(image_id, fill)
    assert made.path.read_bytes() == b"bytes"


@pytest.mark.parametrize("whole", [True, False])
async def test_an_image_is_kept_whole_or_not_at_all(files: ImageFiles, whole: bool) -> None:
    image_id = await kept(files, b"whole")
    await files.save(image_id, once(b"half"))
    await files.keep_only(image_id, whole=whole)
    assert [path.name for path in files.directory.iterdir()] == ([image_id] if whole else [])


async def test_an_image_that_is_deleted_is_read_to_its_end(files: ImageFiles) -> None:
    content = b"x" * 3_000_000
    image_id = await kept(files, content)
    reading = files.read(image_id, 0, len(content))
    read = await anext(reading)
    await files.keep_only(image_id, whole=False)
    read += b"".join([piece async for piece in reading])
    assert read == content


async def test_one_at_a_time_changes_an_image(files: ImageFiles) -> None:
    image_id = ImageId(new_id())
    another = ImageFiles(files.directory)
    async with files.lock(image_id), files.lock(ImageId(new_id())):
        for same in (files, another):
            with pytest.raises(Conflict):
                async with same.lock(image_id):
                    pass
    async with another.lock(image_id):
        pass


async def test_a_lock_is_unsettled_until_it_is_ended(files: ImageFiles) -> None:
    image_id = ImageId(new_id())
    with pytest.raises(Conflict):
        async with files.lock(image_id, left_behind=True):
            pass
    async with files.lock(image_id):
        assert await files.unsettled() == {image_id}
    assert await files.unsettled() == {image_id}
    async with files.lock(image_id, left_behind=True) as lock:
        await files.end(lock)
    assert await files.unsettled() == frozenset()


def test_of_many_who_take_and_end_a_lock_never_two_hold_it(files: ImageFiles) -> None:
    """A lock is ended by removing its file, which another may have opened a moment before."""
    path, holding, most = files.directory / ".lock", 0, 0

    def again_and_again() -> None:
        nonlocal holding, most
        taken = 0
        while taken < 50:
            lock = ImageLock(path)
            if lock.take():
                holding += 1
                most = max(most, holding)
                taken += 1
                time.sleep(0.0005)  # let the others try
                holding -= 1
                lock.end()
            lock.let_go()

    threads = [threading.Thread(target=again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not path.exists()


def test_a_directory_that_cannot_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be kept"):
        ImageFiles(tmp_path / "file" / "images")


def test_nobody_else_on_the_machine_reads_images(files: ImageFiles) -> None:
    assert files.directory.stat().st_mode & 0o077 == 0

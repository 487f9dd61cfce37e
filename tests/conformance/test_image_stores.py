"""What a store of images must do (``images/store.py``), and what comes of uploads and deletes on top of it."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.ceph_cluster import CephPool

from pumice.backends.rbd_images import Cluster
from pumice.images.files import ImageFiles
from pumice.images.in_rbd import RbdStore
from pumice.model.errors import NotFound, PumiceError
from pumice.model.ids import ImageId, new_id

DATA = os.urandom(3 * 2**20 + 517)
"""Neither whole sectors, nor one object alone would do."""


@pytest.fixture(params=["directory", pytest.param("rbd", marks=pytest.mark.real)])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, CephPool | None]]:
    pool = request.getfixturevalue("ceph_pool") if request.param == "rbd" else None
    yield tmp_path / "images", pool
    if pool:
        pool.cluster.empty(pool.name)


@pytest.fixture
def files(place: tuple[Path, CephPool | None]) -> ImageFiles:
    return opened(*place)


def opened(directory: Path, pool: CephPool | None) -> ImageFiles:
    """The images, as a process that starts finds them."""
    if pool is None:
        return ImageFiles(directory)
    cluster = Cluster(pool.cluster.conf, "admin", pool.cluster.keyring)
    return ImageFiles(directory, store=RbdStore(cluster, pool.name, directory / "windows"))


def converted(source: Path, target: Path) -> None:
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", source, target], check=True)


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 2**20):
        yield data[at : at + 2**20]


async def kept(files: ImageFiles, data: bytes = DATA) -> ImageId:
    image_id = ImageId(new_id())
    await files.save(image_id, pieces(data))
    await files.publish(image_id)
    return image_id


async def read(files: ImageFiles, image_id: ImageId, start: int = 0, length: int = len(DATA)) -> bytes:
    return b"".join([piece async for piece in files.read(image_id, start, length)])


async def test_it_gives_back_what_came_in(files: ImageFiles) -> None:
    image_id = await kept(files)
    assert await read(files, image_id) == DATA
    assert await read(files, image_id, 2**20 - 3, 2**20 + 7) == DATA[2**20 - 3 : 2**21 + 4]
    assert await read(files, image_id, len(DATA) - 5, 5) == DATA[-5:]
    async with files.opened(image_id) as path:
        found = await asyncio.to_thread(path.read_bytes)
    assert found[: len(DATA)] == DATA
    assert not found[len(DATA) :].strip(b"\0")
    async with files.opened(image_id) as path:
        await asyncio.to_thread(converted, path, files.directory / "copy")
    assert (files.directory / "copy").read_bytes()[: len(DATA)] == DATA
    (files.directory / "copy").unlink()
    assert sorted(it.name for it in files.directory.iterdir()) in ([image_id], ["windows"])


async def test_holes_stay_holes(files: ImageFiles, place: tuple[Path, CephPool | None]) -> None:
    image_id = ImageId(new_id())

    async def fill(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(64 * 2**20)
            file.seek(32 * 2**20)
            file.write(DATA)

    made = await files.make(image_id, fill)
    assert made.size == 64 * 2**20
    await files.publish(image_id)
    if pool := place[1]:
        assert pool.allocated(image_id) < 9 * 2**20
    assert await read(files, image_id, 32 * 2**20) == DATA


async def test_an_image_is_there_when_it_was_published_and_until_it_is_removed(files: ImageFiles) -> None:
    image_id = ImageId(new_id())
    await files.save(image_id, pieces(DATA))
    assert await files.kept() == frozenset()
    location = await files.publish(image_id)
    again = await opened_again(files).kept()
    assert again == await files.kept() == {image_id}
    await files.keep_only(image_id, whole=True)
    assert await read(files, image_id) == DATA
    for _ in range(2):
        await files.keep_only(image_id, whole=False)
    assert await files.kept() == frozenset()
    with pytest.raises(NotFound):
        await read(files, image_id)
    assert location is None or location.image == image_id


def opened_again(files: ImageFiles) -> ImageFiles:
    return ImageFiles(files.directory, store=files.store)


async def test_what_is_there_is_not_begun_again(files: ImageFiles) -> None:
    """A process that dies right after its image was published has another do it once more."""
    image_id = await kept(files)
    await files.save(image_id, pieces(DATA))
    await files.publish(image_id)
    assert await read(files, image_id) == DATA
    assert await files.kept() == {image_id}


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1, 0.3])
async def test_one_that_was_cut_short_is_none(files: ImageFiles, seconds: float) -> None:
    image_id = ImageId(new_id())
    await files.save(image_id, pieces(DATA))
    publishing = asyncio.ensure_future(files.publish(image_id))
    await asyncio.wait({publishing}, timeout=seconds)
    publishing.cancel()
    await asyncio.wait({publishing})
    await settled(files, image_id, whole=False)
    assert await files.kept() == frozenset()
    await files.save(image_id, pieces(DATA))
    await files.publish(image_id)
    assert await read(files, image_id) == DATA


async def settled(files: ImageFiles, image_id: ImageId, *, whole: bool) -> None:
    """As ``loops/uploads.py`` does: again until it succeeds."""
    for _ in range(600):
        try:
            return await files.keep_only(image_id, whole=whole)
        except PumiceError:
            await asyncio.sleep(0.1)
    raise AssertionError("it is never settled")


async def test_who_reads_reads_to_the_end_whoever_removes_it_meanwhile(files: ImageFiles) -> None:
    image_id = await kept(files)
    reading = files.read(image_id, 0, len(DATA))
    begun = await anext(reading)
    removing = asyncio.ensure_future(settled(files, image_id, whole=False))
    await asyncio.wait({removing}, timeout=0.5)
    rest = [piece async for piece in reading]
    assert begun + b"".join(rest) == DATA
    await removing
    assert await files.kept() == frozenset()


async def test_an_image_of_nothing_is_kept(files: ImageFiles) -> None:
    image_id = await kept(files, b"")
    assert await read(files, image_id, 0, 0) == b""
    assert await files.kept() == {image_id}
    await files.keep_only(image_id, whole=False)

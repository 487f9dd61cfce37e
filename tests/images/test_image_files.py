"""The files of images by themselves: their names, and bytes on their way out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pumice.images.files import ImageFiles
from pumice.model.errors import Conflict, Invalid, Misconfigured, NotFound
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
        files.path(ImageId(name))
    with pytest.raises(Invalid):
        await files.save(ImageId(name), once(b"bytes"))
    with pytest.raises(Invalid):
        await files.discard(ImageId(name))


async def test_an_image_is_not_kept_before_it_is_published(files: ImageFiles) -> None:
    image_id = ImageId(new_id())
    await files.save(image_id, once(b"bytes"))
    assert (await files.kept(), await files.leftovers()) == (frozenset(), ({image_id}, frozenset()))
    await files.publish(image_id)
    assert (await files.kept(), await files.leftovers()) == ({image_id}, (frozenset(), frozenset()))


async def test_what_is_set_aside_is_out_of_sight_and_comes_back(files: ImageFiles) -> None:
    image_id = await kept(files, b"bytes")
    await files.set_aside(image_id)
    assert (await files.kept(), await files.leftovers()) == (frozenset(), (frozenset(), {image_id}))
    with pytest.raises(NotFound):
        await anext(files.read(image_id, 0, 5))
    await files.put_back(image_id)
    assert [piece async for piece in files.read(image_id, 0, 5)] == [b"bytes"]


async def test_what_is_put_back_never_covers_newer_bytes(files: ImageFiles) -> None:
    image_id = await kept(files, b"old")
    await files.set_aside(image_id)
    await files.save(image_id, once(b"new"))
    await files.publish(image_id)
    await files.put_back(image_id)
    assert files.path(image_id).read_bytes() == b"new"
    assert await files.leftovers() == (frozenset(), frozenset())


async def test_an_image_that_is_deleted_is_read_to_its_end(files: ImageFiles) -> None:
    content = b"x" * 3_000_000
    image_id = await kept(files, content)
    reading = files.read(image_id, 0, len(content))
    read = await anext(reading)
    await files.set_aside(image_id)
    await files.drop(image_id)
    read += b"".join([piece async for piece in reading])
    assert read == content


async def test_one_at_a_time_writes_an_image(files: ImageFiles) -> None:
    image_id = ImageId(new_id())
    with files.hold(image_id), pytest.raises(Conflict), files.hold(image_id):
        pass
    with files.hold(image_id):
        pass


def test_a_directory_that_cannot_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be kept"):
        ImageFiles(tmp_path / "file" / "images")


def test_nobody_else_on_the_machine_reads_images(files: ImageFiles) -> None:
    assert files.directory.stat().st_mode & 0o077 == 0

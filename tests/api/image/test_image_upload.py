"""Bytes in and out: whole, refused, interrupted, raced for, and more than there is room for."""

import asyncio
import contextlib
import hashlib
import os
import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.patience import patience

from databases import ON_SQLITE
from pumice.images.delete import delete
from pumice.images.files import ImageFiles
from pumice.images.upload import upload
from pumice.loops.uploads import Uploads
from pumice.model.errors import Invalid, Retryable
from pumice.model.scope import INTERNAL
from pumice.model.units import MIB
from pumice.store import images


def honest(image_format: str, size: str, tmp_path: Path) -> bytes:
    path = tmp_path / "honest"
    subprocess.run(["qemu-img", "create", "-q", "-f", image_format, path, size], check=True)
    return path.read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mountpoint = tmp_path / "small"
    mountpoint.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mountpoint]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a tmpfs")
    yield mountpoint
    subprocess.run(["umount", mountpoint], check=True)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_an_upload_makes_the_image_active_with_its_hashes(rig: Any) -> None:
    image_id = await rig.create()
    content = os.urandom(3 * MIB + 17)
    answer = await rig.upload(image_id, content)
    assert (answer.status_code, answer.content) == (204, b"")
    image = (await rig.member.get(f"/v2/images/{image_id}")).json()
    assert image["status"] == "active"
    assert image["size"] == image["virtual_size"] == len(content)
    assert image["checksum"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert image["os_hash_algo"] == "sha512"
    assert image["os_hash_value"] == hashlib.sha512(content).hexdigest()
    download = await rig.member.get(f"/v2/images/{image_id}/file")
    assert download.content == content
    assert download.headers["content-type"] == "application/octet-stream"
    assert download.headers["content-md5"] == image["checksum"]
    assert download.headers["content-length"] == str(len(content))


async def test_the_size_inside_a_qcow2_is_recorded(rig: Any, tmp_path: Path) -> None:
    content = honest("qcow2", "5G", tmp_path)
    image_id = await rig.create(disk_format="qcow2")
    assert (await rig.upload(image_id, content)).status_code == 204
    image = (await rig.member.get(f"/v2/images/{image_id}")).json()
    assert (image["size"], image["virtual_size"]) == (len(content), 5 * 1024 * MIB)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-4", 0, 5), ("bytes=5-", 5, 100), ("bytes=-10", 90, 100), ("bytes=90-1000", 90, 100)],
)
async def test_a_range_is_answered_with_a_part(rig: Any, asked: str, start: int, end: int) -> None:
    image_id = await rig.create()
    content = os.urandom(100)
    await rig.upload(image_id, content)
    answer = await rig.member.get(f"/v2/images/{image_id}/file", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, content[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/100"


@ON_SQLITE
@pytest.mark.parametrize(
    "asked", ["bytes=100-", "bytes=5-3", "bytes=-", "bytes=-0", "lines=1-2", "bytes=1-2,4-5"]
)
async def test_a_range_outside_of_the_image_is_416(rig: Any, asked: str) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"x" * 100)
    answer = await rig.member.get(f"/v2/images/{image_id}/file", headers={"Range": asked})
    assert answer.status_code == 416


async def test_an_image_without_bytes_downloads_as_204(rig: Any) -> None:
    answer = await rig.member.get(f"/v2/images/{await rig.create()}/file")
    assert (answer.status_code, answer.content) == (204, b"")


def qcow2_with_a_backing_file(path: Path) -> None:
    made = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", path, "1G"]
    subprocess.run(made, check=True)


def qcow2_with_a_data_file(path: Path) -> None:
    options = f"data_file={path}.data,data_file_raw=on"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, "1M"], check=True)


def vmdk_that_names_a_path(path: Path) -> None:
    path.write_text(
        '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n'
    )


def not_what_was_declared(path: Path) -> None:
    path.write_bytes(os.urandom(MIB))


def cut_short(path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1G"], check=True)
    os.truncate(path, 60)


@pytest.mark.parametrize(
    ("make", "declared"),
    [
        (qcow2_with_a_backing_file, "qcow2"),
        (qcow2_with_a_backing_file, "raw"),
        (qcow2_with_a_data_file, "qcow2"),
        (vmdk_that_names_a_path, "vmdk"),
        (not_what_was_declared, "qcow2"),
        (cut_short, "qcow2"),
    ],
)
async def test_a_hostile_image_is_refused_and_no_byte_stays(
    rig: Any, tmp_path: Path, make: Callable[[Path], None], declared: str
) -> None:
    make(tmp_path / "hostile")
    image_id = await rig.create(disk_format=declared)
    answer = await rig.upload(image_id, (tmp_path / "hostile").read_bytes())
    assert answer.status_code == 415
    assert "image" in answer.text
    assert await rig.status(image_id) == "queued"
    assert rig.bytes_left() == []
    assert (await rig.upload(image_id, honest(declared, "1M", tmp_path))).status_code == 204


@pytest.mark.parametrize("missing", ["disk_format", "container_format"])
async def test_an_image_without_a_format_takes_no_bytes(rig: Any, missing: str) -> None:
    image_id = await rig.create(**{missing: None})
    answer = await rig.upload(image_id, b"bytes")
    assert answer.status_code == 400
    assert missing in answer.text
    assert await rig.status(image_id) == "queued"


@pytest.mark.parametrize("kind", ["", "application/json", "text/plain"])
async def test_bytes_of_another_media_type_are_415(rig: Any, kind: str) -> None:
    image_id = await rig.create()
    answer = await rig.upload(image_id, b"bytes", **{"Content-Type": kind})
    assert answer.status_code == 415
    assert await rig.status(image_id) == "queued"


async def test_an_active_image_takes_no_other_bytes(rig: Any) -> None:
    image_id = await rig.create()
    await rig.upload(image_id, b"first")
    assert (await rig.upload(image_id, b"second")).status_code == 409
    assert (await rig.member.get(f"/v2/images/{image_id}/file")).content == b"first"


async def test_of_two_uploads_at_once_one_wins(rig: Any) -> None:
    image_id = await rig.create()
    contents = [bytes([number]) * MIB for number in range(4)]
    answers = await asyncio.gather(*(rig.upload(image_id, content) for content in contents))
    codes = [answer.status_code for answer in answers]
    assert sorted(codes) == [204, 409, 409, 409]
    assert (await rig.member.get(f"/v2/images/{image_id}/file")).content == contents[codes.index(204)]
    assert rig.bytes_left() == [image_id]


async def test_a_client_that_goes_away_leaves_the_image_queued(rig: Any) -> None:
    image_id = await rig.create()
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"x" * 3 * MIB, "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-auth-token", b"member"), (b"content-type", b"application/octet-stream")]
    path = f"/image/v2/images/{image_id}/file"
    await rig.service(
        {"type": "http", "method": "PUT", "path": path, "query_string": b"", "headers": headers}, receive, send
    )
    assert sent[0]["status"] == 400
    assert await rig.status(image_id) == "queued"
    assert rig.bytes_left() == []
    assert (await rig.upload(image_id, b"again")).status_code == 204


async def test_a_cancelled_upload_leaves_the_image_queued(rig: Any) -> None:
    arrived = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * MIB
            arrived.set()
            await asyncio.sleep(0)

    image_id = await rig.create()
    uploading = asyncio.create_task(rig.upload(image_id, endless()))
    await arrived.wait()
    assert await rig.status(image_id) == "saving"
    uploading.cancel()
    assert (await uploading).status_code == 503
    assert await rig.status(image_id) == "queued"
    assert rig.bytes_left() == []


async def test_an_upload_that_stalls_is_refused(open_house: Any) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    rig = open_house(stall_seconds=0.05)
    image_id = await rig.create()
    answer = await rig.upload(image_id, silent())
    assert answer.status_code == 400
    assert "stalled" in answer.text
    assert await rig.status(image_id) == "queued"


async def test_who_uploads_to_a_directory_that_hangs_is_told_and_nothing_is_left(open_house: Any) -> None:
    """What opens a pipe that nobody reads waits in the kernel, as on a disk that does not answer."""
    rig = open_house(answer_seconds=0.2)
    image_id, other = await rig.create(), await rig.create()
    pipe = rig.files.directory / f".{image_id}.part"
    os.mkfifo(pipe)
    for _ in range(2):  # the second would hang as well
        answer = await rig.upload(image_id, b"bytes")
        assert answer.status_code == 503 and str(rig.files.directory) not in answer.text, answer.text
    assert (await rig.upload(other, b"bytes")).status_code == 204
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # it is back
    async with patience():
        while rig.bytes_left() != [other]:
            await asyncio.sleep(0.01)
    os.close(reader)
    assert await rig.status(image_id) == "queued"
    assert (await rig.upload(image_id, b"bytes")).status_code == 204


async def test_who_downloads_from_a_directory_that_hangs_is_told(open_house: Any) -> None:
    rig = open_house(answer_seconds=0.2)
    image_id = await rig.create()
    await rig.upload(image_id, b"bytes")
    pipe = rig.files.directory / image_id
    pipe.unlink()
    os.mkfifo(pipe)
    answer = await rig.member.get(f"/v2/images/{image_id}/file")
    assert answer.status_code == 503 and "where images are kept does not answer" in answer.text
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))


async def test_rows_and_bytes_that_nobody_holds_are_given_back(open_house: Any) -> None:
    """As a power cut may leave them: also without the lock."""
    before = open_house()
    unlocked, locked, kept, gone = [await before.create() for _ in range(4)]
    await before.upload(kept, b"kept")
    for image_id in (unlocked, locked):
        await before.db.write(images.begin_saving, image_id)
        await before.files.save(image_id, pieces(b"half"))
    await before.files.publish(unlocked)
    await before.upload(gone, b"gone")
    await before.db.write(images.delete, INTERNAL, gone)
    for image_id in (locked, kept, gone):
        async with before.files.lock(image_id):
            pass
    after = open_house()
    await Uploads(after.db, after.files).check()
    statuses = [await after.status(image_id) for image_id in (unlocked, locked, kept)]
    assert statuses == ["queued", "queued", "active"]
    assert after.bytes_left() == [kept]
    assert (await after.upload(locked, b"again")).status_code == 204


async def test_an_upload_that_is_under_way_is_left_alone(open_house: Any) -> None:
    rig = open_house()
    image_id = await rig.create()

    async def looked_at() -> AsyncIterator[bytes]:
        yield b"half"
        for _ in range(2):  # the first look of a process also asks the rows
            await Uploads(rig.db, ImageFiles(rig.files.directory)).check()
        assert await rig.status(image_id) == "saving"
        yield b"half"

    assert (await rig.upload(image_id, looked_at())).status_code == 204
    assert rig.bytes_left() == [image_id]


async def test_what_the_database_does_not_let_settle_is_settled_later(rig: Any) -> None:
    image_id = await rig.create()
    away: Any = Away(rig.db)

    async def cut_off() -> AsyncIterator[bytes]:
        yield b"half"
        away.away = True
        raise Invalid("The client went away.")

    with pytest.raises(Invalid):
        await upload(away, rig.files, image_id, cut_off())
    uploads = Uploads(away, rig.files)
    with contextlib.suppress(Retryable):
        await uploads.check()
    assert await rig.status(image_id) == "saving"
    away.away = False
    await uploads.check()
    assert await rig.status(image_id) == "queued"
    assert rig.bytes_left() == []


class Away:
    """A database that sometimes does not answer."""

    def __init__(self, db: Any) -> None:
        self.db, self.away = db, False

    async def read(self, work: Any, *args: Any) -> Any:
        return await self._unless_away(self.db.read, work, *args)

    async def write(self, work: Any, *args: Any) -> Any:
        return await self._unless_away(self.db.write, work, *args)

    async def _unless_away(self, way: Any, *args: Any) -> Any:
        if self.away:
            raise Retryable("The database does not answer.")
        return await way(*args)


async def test_an_image_deleted_during_its_upload_is_gone_with_its_bytes(rig: Any) -> None:
    image_id = await rig.create()

    async def deleting() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        assert (await rig.member.delete(f"/v2/images/{image_id}")).status_code == 204
        assert await rig.create(id=image_id) == image_id
        assert (await rig.upload(image_id, b"other")).status_code == 409
        assert (await rig.member.delete(f"/v2/images/{image_id}")).status_code == 204
        yield b"x"

    assert (await rig.upload(image_id, deleting())).status_code == 410
    assert (await rig.member.get(f"/v2/images/{image_id}")).status_code == 404
    assert rig.bytes_left() == []


class Overtaken:
    """A database that looks whether an image may be deleted during its upload when that has just ended."""

    def __init__(self, db: Any) -> None:
        self.db, self.read = db, db.read
        self.deleting, self.uploaded = asyncio.Event(), asyncio.Event()

    async def write(self, work: Any, *args: Any) -> Any:
        if work is images.delete_unfinished:
            self.deleting.set()
            await self.uploaded.wait()
        result = await self.db.write(work, *args)
        if work is images.finish_saving:
            self.uploaded.set()
        return result


async def test_a_delete_that_an_upload_overtakes_leaves_no_bytes(rig: Any) -> None:
    image_id = await rig.create()
    overtaken: Any = Overtaken(rig.db)

    async def until_it_is_being_deleted() -> AsyncIterator[bytes]:
        yield b"bytes"
        await overtaken.deleting.wait()

    uploading = asyncio.create_task(upload(overtaken, rig.files, image_id, until_it_is_being_deleted()))
    async with patience():
        while await rig.status(image_id) != "saving":
            await asyncio.sleep(0.01)
    await delete(overtaken, rig.files, INTERNAL, await rig.db.read(images.get, INTERNAL, image_id))
    await uploading
    assert (await rig.admin.get(f"/v2/images/{image_id}")).status_code == 404
    assert rig.bytes_left() == []


async def test_more_bytes_than_are_kept_are_413(open_house: Any) -> None:
    rig = open_house(most_bytes=1000)
    image_id = await rig.create()
    assert (await rig.upload(image_id, b"x" * 1001)).status_code == 413
    assert (await rig.upload(image_id, pieces(b"x" * 600, b"x" * 600))).status_code == 413
    assert await rig.status(image_id) == "queued"
    assert rig.bytes_left() == []
    assert (await rig.upload(image_id, b"x" * 1000)).status_code == 204


async def test_another_number_of_bytes_than_announced_is_refused(rig: Any) -> None:
    image_id = await rig.create()
    assert (await rig.upload(image_id, b"1234", **{"X-OpenStack-Image-Size": "5"})).status_code == 400
    assert (await rig.upload(image_id, b"1234", **{"X-OpenStack-Image-Size": "many"})).status_code == 400
    assert await rig.status(image_id) == "queued"
    assert rig.bytes_left() == []


async def test_a_full_disk_is_413_and_nothing_is_left(open_house: Any, small_disk: Path) -> None:
    rig = open_house(small_disk)
    image_id = await rig.create()
    answer = await rig.upload(image_id, b"x" * 5 * MIB)
    assert answer.status_code == 413
    assert "no space left" in answer.text
    assert await rig.status(image_id) == "queued"
    assert rig.bytes_left() == []
    assert (await rig.upload(image_id, b"x" * MIB)).status_code == 204


async def test_a_big_image_streams_in_and_out_without_growing_memory(rig: Any) -> None:
    piece = os.urandom(64 * 1024)
    times = 1024

    async def big() -> AsyncIterator[bytes]:
        for _ in range(times):
            yield bytes(piece)

    image_id = await rig.create()
    tracemalloc.start()
    try:
        assert (await rig.upload(image_id, big())).status_code == 204
        hashes = hashlib.sha512(piece)
        size = 0
        async for part in rig.files.read(image_id, 0, times * len(piece)):
            size += len(part)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 64 * MIB
    assert peak < 8 * MIB
    for _ in range(times - 1):
        hashes.update(piece)
    image = (await rig.member.get(f"/v2/images/{image_id}")).json()
    assert image["os_hash_value"] == hashes.hexdigest()

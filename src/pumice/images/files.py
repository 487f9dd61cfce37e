"""The bytes of images: one file each, named after the image's id.

A file gets its name only when it is complete, and loses it before its row is deleted, so that what a crash
leaves behind can be told from what is kept::

    .<id>.part  ──publish──▶  <id>  ──set_aside──▶  .<id>.gone  ──▶  nothing
     being written                                   being deleted

One process at a time works on a directory. No path is ever named after anything but a UUID.
"""

import asyncio
import errno
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

from pumice.host.thread import in_thread
from pumice.model.errors import Conflict, Invalid, Misconfigured, NotFound, TooLarge, Trouble
from pumice.model.ids import ImageId
from pumice.model.units import GIB, MIB

MOST_BYTES = 1024 * GIB
STALL_SECONDS = 60.0

_PIECE = MIB
"""What is written, hashed or read in one go: large enough that the way to a thread costs nothing beside it."""

_PART = ".part"
_GONE = ".gone"


@dataclass(frozen=True, slots=True)
class Saved:
    """An upload that arrived completely, still under its temporary name."""

    path: Path
    size: int
    """bytes"""
    md5: str
    sha512: str


class ImageFiles:
    """The files of a ``directory``, which is made if it does not exist.

    An upload of more than ``most_bytes``, or one of which nothing arrives for ``stall_seconds``, is refused.
    """

    def __init__(
        self, directory: Path, *, most_bytes: int = MOST_BYTES, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self.directory = directory.absolute()
        self.most_bytes = most_bytes
        self.stall_seconds = stall_seconds
        self._held: set[ImageId] = set()
        self._naming: WeakValueDictionary[ImageId, asyncio.Lock] = WeakValueDictionary()
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"Images cannot be kept in {directory}: {error.strerror}.") from error

    def path(self, image_id: ImageId) -> Path:
        """Where the bytes of an active image are."""
        return self._named(image_id, "", "")

    @contextmanager
    def hold(self, image_id: ImageId) -> Iterator[None]:
        """Be the only one that writes this image's bytes. Raises ``Conflict`` if somebody does already.

        The row's state alone does not keep two writers apart: an image may be deleted during its upload, and
        a new one made with the same id.
        """
        if image_id in self._held:
            raise Conflict(f"Another upload of image {image_id} has not ended yet.")
        self._held.add(image_id)
        try:
            yield
        finally:
            self._held.discard(image_id)

    def naming(self, image_id: ImageId) -> asyncio.Lock:
        """To be held while a file gets or loses its name, until the row says so too.

        Else a delete that found no file yet could remove the row of an upload that has just put one there.
        """
        return self._naming.setdefault(image_id, asyncio.Lock())

    async def save(self, image_id: ImageId, stream: AsyncIterator[bytes], size: int | None = None) -> Saved:
        """Write the stream's bytes, synced to disk, under a temporary name.

        ``size`` is what the client announced, in bytes. Raises ``TooLarge`` (over the limit, or the disk is
        full), ``Invalid`` (the client stalls, or sends another number of bytes than it announced) or
        ``Trouble``; then nothing is left.
        """
        self._refuse_more_than_kept(size or 0)
        path = self._part(image_id)
        with _explained():
            writer = await in_thread(_Writer, path)
            try:
                await self._fill(writer, stream)
                if size is not None and size != writer.size:
                    raise Invalid(f"{size} bytes were announced, but {writer.size} arrived.")
                await in_thread(writer.sync)
            except BaseException:
                await in_thread(path.unlink, True)
                raise
            finally:
                writer.file.close()
        return Saved(path, writer.size, writer.md5.hexdigest(), writer.sha512.hexdigest())

    async def publish(self, image_id: ImageId) -> None:
        """Give a saved file its name, durably."""
        with _explained():
            await in_thread(self._rename, self._part(image_id), self.path(image_id))

    async def discard(self, image_id: ImageId) -> None:
        """Remove what an upload wrote, whatever its name is by now."""
        with _explained():
            await in_thread(self._part(image_id).unlink, True)
            await in_thread(self.path(image_id).unlink, True)

    async def set_aside(self, image_id: ImageId) -> None:
        """Take the bytes out of sight before the row is deleted. An image without bytes is left alone."""
        with _explained():
            await in_thread(self._rename, self.path(image_id), self._gone(image_id))

    async def put_back(self, image_id: ImageId) -> None:
        """Undo ``set_aside``: the row was not deleted after all. Never over newer bytes."""
        with _explained():
            if not await in_thread(self.path(image_id).exists):
                await in_thread(self._rename, self._gone(image_id), self.path(image_id))
        await self.drop(image_id)

    async def drop(self, image_id: ImageId) -> None:
        """Free what was set aside."""
        with _explained():
            await in_thread(self._gone(image_id).unlink, True)

    async def read(self, image_id: ImageId, start: int, length: int) -> AsyncIterator[bytes]:
        """``length`` bytes from ``start`` on. The image may be deleted meanwhile: they are read to the end."""
        try:
            file: IO[bytes] = await in_thread(self.path(image_id).open, "rb")
        except FileNotFoundError:
            raise NotFound("Image", image_id) from None
        with file:
            await in_thread(file.seek, start)
            while length and (piece := await in_thread(file.read, min(_PIECE, length))):
                length -= len(piece)
                yield piece

    async def kept(self) -> frozenset[ImageId]:
        """The images whose bytes are here, for audits."""
        names = await self._names()
        return frozenset(ImageId(name) for name in names if _is_id(name))

    async def leftovers(self) -> tuple[frozenset[ImageId], frozenset[ImageId]]:
        """The images of which something is being written, and those of which something is being deleted.

        With nothing under way, they are what a crash left.
        """
        names = await self._names()
        return _ids(names, _PART), _ids(names, _GONE)

    async def _names(self) -> list[str]:
        with _explained():
            return await in_thread(os.listdir, self.directory)

    def _refuse_more_than_kept(self, size: int) -> None:
        if size > self.most_bytes:
            raise TooLarge(f"The incoming image is too large: at most {self.most_bytes} bytes are kept.")

    async def _fill(self, writer: "_Writer", stream: AsyncIterator[bytes]) -> None:
        pieces: list[bytes] = []
        gathered = 0
        while (piece := await self._next(stream)) is not None:
            pieces.append(piece)
            gathered += len(piece)
            self._refuse_more_than_kept(writer.size + gathered)
            if gathered >= _PIECE:
                await in_thread(writer.write, pieces)
                pieces, gathered = [], 0
        await in_thread(writer.write, pieces)

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(self.stall_seconds):
                return await anext(stream, None)
        except TimeoutError:
            raise Invalid(f"The upload stalled: nothing arrived for {self.stall_seconds:g} seconds.") from None

    def _part(self, image_id: ImageId) -> Path:
        return self._named(image_id, ".", _PART)

    def _gone(self, image_id: ImageId) -> Path:
        return self._named(image_id, ".", _GONE)

    def _named(self, image_id: ImageId, before: str, after: str) -> Path:
        if not _is_id(image_id):
            raise Invalid(f"{image_id!r} is not an id, and no file is named after it.")
        return self.directory / f"{before}{image_id}{after}"

    def _rename(self, old: Path, new: Path) -> None:
        try:
            old.replace(new)
        except FileNotFoundError:
            return
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class _Writer:
    """A new file and the digests of what was written to it. Each method is to be called in a thread."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb", buffering=0)
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha512 = hashlib.sha512()

    def write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.md5.update(piece)
            self.sha512.update(piece)
            self.size += len(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[self.file.write(rest) :]

    def sync(self) -> None:
        os.fsync(self.file.fileno())


def _is_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _ids(names: list[str], ending: str) -> frozenset[ImageId]:
    found = (name[1 : -len(ending)] for name in names if name.startswith(".") and name.endswith(ending))
    return frozenset(ImageId(name) for name in found if _is_id(name))


@contextmanager
def _explained() -> Iterator[None]:
    """What the disk refuses, in words for the person who uploads."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TooLarge("There is no space left to keep the image's bytes.") from error
        raise Trouble(f"The image's bytes cannot be kept: {error.strerror}.") from error

"""The bytes of images on their way in and out, and who may change them.

What comes in is a file of a ``directory``, until it is complete and was found good; then a *store* keeps it::

    .<id>.lock                 somebody changes the bytes of this image, or died while he did (``lock.py``)
    .<id>.part ──publish──▶ in the store: a file of the same directory, <id>, or an image in a pool of Ceph
    being written           kept

Any number of processes and hosts may share a directory: whoever changes bytes holds the image's lock, whoever
reads needs none. No path is ever named after anything but a UUID.
"""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path

from pumice.host.bulkhead import Bulkheads, Left
from pumice.host.thread import Arguments, Result, by_default_in_threads_of, in_thread
from pumice.images.in_directory import DirectoryStore
from pumice.images.lock import ImageLock
from pumice.images.store import ImageStore
from pumice.model.errors import Conflict, Invalid, Misconfigured, NotFound, Retryable, TooLarge
from pumice.model.ids import ImageId, is_canonical
from pumice.model.image import UNLIMITED, ImageQuota
from pumice.model.image_location import RbdLocation
from pumice.model.units import GIB, MIB

MOST_BYTES = 1024 * GIB
STALL_SECONDS = 60.0
ANSWER_SECONDS = 30.0
"""How long the directory may take for one thing that a request waits for…"""
DIGEST_SECONDS = 3600.0
SLOWEST = 4 * MIB
"""…and for so many bytes each second more, when they are to be on its disk."""

_PIECE = MIB
"""What is written, hashed or read in one go: large enough that the way to a thread costs nothing beside it."""

_PART = ".part"
_LOCK = ".lock"
_limit: ContextVar[asyncio.Timeout | None] = ContextVar("_limit", default=None)
"""How long the request for which this is done waits for the directory; None where no request waits."""


@dataclass(frozen=True, slots=True)
class Saved:
    """An upload that arrived completely, still under its temporary name."""

    path: Path
    size: int
    """bytes"""
    md5: str
    sha512: str


class ImageFiles:
    """Bytes that come in through a ``directory``, which is made if it does not exist, and are kept there.

    Or in another ``store``. An upload of more than ``most_bytes``, or one of which nothing arrives for
    ``stall_seconds``, is refused. A request waits for ``answer_seconds`` for a directory that hangs.
    """

    def __init__(
        self,
        directory: Path,
        *,
        most_bytes: int = MOST_BYTES,
        stall_seconds: float = STALL_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        quota: ImageQuota = UNLIMITED,
        shows_url: bool = False,
        store: ImageStore | None = None,
    ) -> None:
        self.quota = quota
        """The quota of each project."""
        self.shows_url = shows_url
        """Whether clients are told where an image lies, for those that can clone it there."""
        self.directory = directory.absolute()
        self.most_bytes = most_bytes
        self.stall_seconds = stall_seconds
        self.answer_seconds = answer_seconds
        self._bulkheads = Bulkheads()
        self._place = self._bulkheads.at(str(self.directory))
        self.store = store or DirectoryStore(self.directory, self.do)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"Images cannot be kept in {directory}: {error.strerror}.") from error

    @property
    def left(self) -> Iterator[Left]:
        """What hangs here, and was left behind."""
        return self._bulkheads.left

    @asynccontextmanager
    async def opened(self, image_id: str) -> AsyncIterator[Path]:
        """A file of this host with an active image's bytes, for as long as it is read. Raises ``NotFound``."""
        self._named(ImageId(image_id), "", "")
        async with self.store.opened(ImageId(image_id)) as path:
            yield path

    @asynccontextmanager
    async def lock(self, image_id: ImageId, *, left_behind: bool = False) -> AsyncIterator[ImageLock]:
        """Be the only one who changes this image's files. Raises ``Conflict`` if somebody else is.

        ``left_behind`` means a lock whose holder died; ``Conflict`` then also says that there is none.
        """
        lock = ImageLock(self._named(image_id, ".", _LOCK))
        try:
            with _explained():
                if not await self.do(lambda: lock.take(left_behind=left_behind)):
                    raise Conflict(f"Image {image_id} is being uploaded or deleted: wait for the end of that.")
            yield lock
        finally:
            lock.let_go()

    async def end(self, lock: ImageLock) -> None:
        """Say that nothing is under way with the image any more."""
        with _explained():
            await self.do(lock.end)

    async def save(
        self, image_id: ImageId, stream: AsyncIterator[bytes], size: int | None = None, room: int | None = None
    ) -> Saved:
        """Write the stream's bytes, synced to disk, under a temporary name.

        ``size`` is what the client announced, ``room`` what its project has left, in bytes. Raises ``TooLarge``
        (over a limit, or the disk is full), ``Invalid`` (the client stalls, or sends another number of bytes
        than it announced) or ``Retryable``; then nothing is left.
        """
        self._refuse_more_than_kept(size or 0, room)
        path = self._part(image_id)
        writer = _Writer(path)
        with _explained():
            try:
                await self.do(writer.open)
                await self._fill(writer, stream, room)
                if size is not None and size != writer.size:
                    raise Invalid(f"{size} bytes were announced, but {writer.size} arrived.")
                await self.do(writer.sync, seconds=self.answer_seconds + writer.size / SLOWEST)
            except BaseException:
                await self.do(path.unlink, True)
                raise
            finally:
                writer.close()
        return Saved(path, writer.size, writer.md5.hexdigest(), writer.sha512.hexdigest())

    async def make(self, image_id: ImageId, fill: Callable[[Path], Awaitable[None]]) -> Saved:
        """What ``fill`` writes to a path, synced to disk, under a temporary name.

        Raises what ``fill`` raises, ``TooLarge`` or ``Retryable``; then nothing is left.
        """
        path = self._part(image_id)
        with _explained():
            try:
                await self.do(path.unlink, True)  # a command of a process that died may still write to it
                await fill(path)
                return await self.do(_digested, path)
            except BaseException:
                await self.do(path.unlink, True)
                raise

    async def publish(self, image_id: ImageId) -> RbdLocation | None:
        """Have a saved file kept, durably; where it lies, if others can find it there."""
        with _explained():
            return await self.store.keep(image_id, self._part(image_id))

    async def adopt(self, image_id: ImageId, location: RbdLocation) -> tuple[RbdLocation, Saved]:
        """Have an image keep what lies at a location; where it lies now, and what it is, read once.

        Raises ``Invalid``, or ``Retryable``.
        """
        with _explained():
            adopted = await self.store.adopt(image_id, location)
            async with self.opened(image_id) as path:
                return adopted.location, await self.do(_digested, path, adopted.size, seconds=DIGEST_SECONDS)

    async def keep_only(self, image_id: ImageId, *, whole: bool) -> None:
        """Remove what was being written and, unless the ``whole`` image is kept, what was published too."""
        with _explained():
            await self.do(self._part(image_id).unlink, True)
            await self.store.clear(image_id)
            if not whole:
                await self.store.remove(image_id)

    async def read(self, image_id: ImageId, start: int, length: int) -> AsyncIterator[bytes]:
        """``length`` bytes from ``start`` on. The image may be deleted meanwhile: they are read to the end."""
        async with AsyncExitStack() as stack:
            opening = partial(self._opened, image_id, start, stack)
            file = await self.answered("open", image_id, opening)
            while length:
                reading = partial(self._at_disk, file.read, min(_PIECE, length))
                if not (piece := await self.answered("read", image_id, reading)):
                    return
                length -= len(piece)
                yield piece

    async def _opened(self, image_id: ImageId, start: int, stack: AsyncExitStack) -> FileIO:
        opened: list[FileIO] = []
        try:
            path = await stack.enter_async_context(self.opened(image_id))
            await self.do(_open, path, start, opened)
        except FileNotFoundError:
            raise NotFound("Image", image_id) from None
        except BaseException:
            for file in opened:  # while nobody waits for it any more
                file.close()
            raise
        stack.callback(opened[0].close)
        return opened[0]

    async def _at_disk(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        with _explained():
            return await self.do(work, *arguments)

    async def answered(self, call: str, about: str, work: Callable[[], Awaitable[Result]]) -> Result:
        """What comes of ``work``, for which a request waits. Raises ``Retryable`` when the directory hangs.

        What was begun holds the image's lock until it is back, and is undone then.
        """
        limit = asyncio.timeout(None)
        token = _limit.set(limit)
        try:
            return await self._place.call(call, work, limit, about=about)
        except TimeoutError:
            raise Retryable(
                "The place where images are kept does not answer: ask again later.", f"{self.directory} hangs."
            ) from None
        finally:
            _limit.reset(token)

    async def do(
        self, work: Callable[[*Arguments], Result], *arguments: *Arguments, seconds: float | None = None
    ) -> Result:
        """Blocking work on the images' bytes. Where it is no operation's it has threads of its own.

        So a directory of images that hangs is in the way of those alone who ask for images; these wait for so
        many seconds (``answered``).
        """
        seconds = self.answer_seconds if seconds is None else seconds
        with _limited(seconds), by_default_in_threads_of(self._place.threads):
            return await in_thread(work, *arguments)

    async def kept(self) -> frozenset[ImageId]:
        """The images whose bytes are here, for audits."""
        with _explained():
            return await self.store.kept()

    async def tidy(self) -> None:
        """Free what could not be freed when it was removed."""
        with _explained():
            await self.store.tidy()

    async def unsettled(self) -> frozenset[ImageId]:
        """The images whose files somebody is changing, or left when he died."""
        names = (name[1 : -len(_LOCK)] for name in await self._names() if name.endswith(_LOCK))
        return frozenset(ImageId(name) for name in names if is_canonical(name))

    async def _names(self) -> list[str]:
        with _explained():
            return await self.do(os.listdir, self.directory)

    def _refuse_more_than_kept(self, size: int, room: int | None) -> None:
        if room is not None and size > room:
            raise TooLarge(f"The incoming image is too large: the project's images may grow by {room} bytes.")
        if size > self.most_bytes:
            raise TooLarge(f"The incoming image is too large: at most {self.most_bytes} bytes are kept.")

    async def _fill(self, writer: "_Writer", stream: AsyncIterator[bytes], room: int | None) -> None:
        pieces: list[bytes] = []
        gathered = 0
        while (piece := await self._next(stream)) is not None:
            pieces.append(piece)
            gathered += len(piece)
            self._refuse_more_than_kept(writer.size + gathered, room)
            if gathered >= _PIECE:
                await self.do(writer.write, pieces)
                pieces, gathered = [], 0
        await self.do(writer.write, pieces)

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(self.stall_seconds):
                return await anext(stream, None)
        except TimeoutError:
            raise Invalid(f"The upload stalled: nothing arrived for {self.stall_seconds:g} seconds.") from None

    def _part(self, image_id: ImageId) -> Path:
        return self._named(image_id, ".", _PART)

    def _named(self, image_id: ImageId, before: str, after: str) -> Path:
        if not is_canonical(image_id):
            raise Invalid(f"{image_id!r} is not an id, and no file is named after it.")
        return self.directory / f"{before}{image_id}{after}"


class _Writer:
    """A new file and the digests of what was written to it. Each method but ``close`` is called in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha512 = hashlib.sha512()

    def open(self) -> None:
        self._file = FileIO(self._path, "wb")

    def close(self) -> None:
        if self._file:
            self._file.close()

    def write(self, pieces: list[bytes]) -> None:
        assert self._file
        for piece in pieces:
            self.md5.update(piece)
            self.sha512.update(piece)
            self.size += len(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]

    def sync(self) -> None:
        assert self._file
        os.fsync(self._file.fileno())


def _open(path: Path, start: int, opened: list[FileIO]) -> None:
    """Without a buffer: to close it does not wait for a read that hangs."""
    opened.append(FileIO(path))
    opened[0].seek(start)


def _digested(path: Path, size: int | None = None) -> Saved:
    """Sync a file and read it once, or its first ``size`` bytes, for the digests."""
    md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
    with path.open("rb", buffering=0) as file:
        if size is None:
            os.fsync(file.fileno())
        left = os.fstat(file.fileno()).st_size if size is None else size
        while left and (piece := file.read(min(_PIECE, left))):
            md5.update(piece)
            sha512.update(piece)
            left -= len(piece)
        return Saved(path, file.tell(), md5.hexdigest(), sha512.hexdigest())


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Let the request for which this is done, if any, and if it still waits, wait for so long."""
    limit = _limit.get()

    def set_to(when: float | None) -> None:
        with suppress(RuntimeError):  # it does not wait any more
            if limit:
                limit.reschedule(when)

    set_to(asyncio.get_running_loop().time() + seconds)
    try:
        yield
    finally:
        set_to(None)


@contextmanager
def _explained() -> Iterator[None]:
    """An error of the disk, in words for the person who uploads."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TooLarge("There is no space left to keep the image's bytes.") from error
        raise Retryable(f"The image's bytes cannot be kept: {error.strerror}.") from error

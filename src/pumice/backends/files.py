"""Volumes as sparse raw files: ``<pool>/volumes/<id>`` and ``<pool>/snapshots/<id>``.

Every file is made in three moves, so that half-made bytes are never served, whatever is killed when:

    .<id>.<n>.part, new and empty  ──fill──▶  .<id>.<n>.part, complete  ──sync, rename, sync──▶  <id>

Those lie apart (``files_parts``). What a crash left of them is removed by the next call for its id, create or
delete. It is never written again, only replaced by a new file: an orphaned qemu-img may still be writing to it.

A clone shares its source's blocks where the file system can (XFS, Btrfs): milliseconds for any size, and all
of one moment. Elsewhere it is a sparse copy, and a snapshot of a volume in use is then **not** of one moment:
a guest that writes meanwhile finds some of its writes in it and misses others.

A file that lies in the pool's own directory is manageable: it can be adopted as a volume, and a volume can be
released to be one (``files_manageable``).

This class must never shrink a file, never name a path after anything but a UUID, and never write into a file
that has its final name, save to extend it. Several processes may share a pool. Each call's ``.part`` has a name
of its own, so that a process that was stopped while another made the file puts nothing in its place.
"""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from pumice.backends import files_manageable, files_parts, sparse
from pumice.backends.contract import (
    ImageFile,
    Inventory,
    Manageable,
    PoolFacts,
    Progress,
    require_fits,
)
from pumice.backends.on_this_host import OnThisHost
from pumice.host import qemu_img
from pumice.host.durable import sync, write_text
from pumice.host.sole import Held, take_file
from pumice.host.thread import Threads, in_thread, in_threads_of, to_the_end
from pumice.host.turn import Serializer
from pumice.model import mark
from pumice.model.errors import Invalid, Misconfigured, NotFound, Retryable, TryAnotherBackend
from pumice.model.ids import SnapshotId, VolumeId, is_canonical
from pumice.model.mark import Mark
from pumice.model.stored import StoredObject
from pumice.model.units import GIB
from pumice.model.volume import COPIES, IMAGE_CACHE, SHARES

ANSWER_SECONDS = 3.0
"""How long a pool may take to answer before the others are told of without it."""
Fill = Callable[[Path], Awaitable[None]]
"""Gives a new, empty file its size and its bytes."""

_SHELVES: Mapping[Literal["volume", "snapshot"], str] = {"volume": "volumes", "snapshot": "snapshots"}
_MARK = ".pumice-mark"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_PASSING = {errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}


class FilesBackend(OnThisHost):
    """``pools`` maps each pool's name to its directory.

    ``capacity_gb`` caps what a pool says it holds, where pools share a file system or leave room for others.
    ``convert_timeout`` (seconds) bounds the conversion of one image. At most ``copies_at_once`` long copies
    run at a time in one pool; the others wait their turn.
    """

    driver = "files"
    keeps = True

    def __init__(
        self,
        pools: Mapping[str, Path],
        *,
        max_over_subscription_ratio: float = 20.0,
        reserved_percentage: int = 0,
        capacity_gb: float | None = None,
        convert_timeout: float = 3600.0,
        copies_at_once: int = 2,
    ) -> None:
        self._pools = {name: directory.absolute() for name, directory in pools.items()}
        self._max_over_subscription_ratio = max_over_subscription_ratio
        self._reserved_percentage = reserved_percentage
        self._capacity_gb = capacity_gb
        self._convert_timeout = convert_timeout
        self._turn_to_copy = {name: Serializer(copies_at_once) for name in pools}
        self._threads = {name: Threads(f"pool {name}") for name in pools}
        self._looking = {name: Threads(f"looks at pool {name}") for name in pools}
        self._asked: dict[str, asyncio.Task[PoolFacts]] = {}
        self._occupied: dict[str, Held] = {}
        self._shares: dict[str, bool] = {}
        self._locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()

    async def pool_names(self) -> list[str]:
        return list(self._pools)

    async def mark(self, pool: str) -> Mark | None:
        with self._within(pool, looks=True):
            return await in_thread(_read_mark, self._directory(pool) / _MARK)

    async def set_mark(self, pool: str, ours: Mark) -> None:
        with self._within(pool):
            await in_thread(write_text, self._directory(pool) / _MARK, ours.text())

    async def occupy(self, pool: str, *, shared: bool) -> None:
        with self._within(pool, looks=True):
            await in_thread(self._occupy, pool, shared)

    def _occupy(self, pool: str, shared: bool) -> None:
        path = self._directory(pool) / _MARK  # written anew it is another file
        if pool not in self._occupied or not self._occupied[pool].is_of(path):
            self._occupied[pool] = take_file(path, f"Pool '{pool}' ({path.parent})", shared=shared)

    async def start(self) -> None:
        for name, directory in self._pools.items():
            try:
                await in_thread(_prepare, directory)
                self._shares[name] = await in_thread(sparse.can_share, directory / "volumes")
            except OSError as error:
                raise Misconfigured(
                    f"Pool '{name}' cannot be used: {directory}: {error.strerror}. Give the user that runs "
                    "Pumice a directory it may write to."
                ) from error

    async def pools(self) -> list[PoolFacts]:
        """A pool that does not answer while another does has no room; it is not asked twice at once."""
        for name in self._pools:
            self._asked.setdefault(name, asyncio.create_task(self._facts(name)))
        asked = dict(self._asked)
        answered, _ = await asyncio.wait(asked.values(), timeout=ANSWER_SECONDS)
        if not answered:
            await to_the_end(next(iter(asked.values())))
            answered = {task for task in asked.values() if task.done()}
        self._asked = {name: task for name, task in asked.items() if task not in answered}
        return [
            task.result() if task in answered else PoolFacts(name, total_gb=0.0, free_gb=0.0, thin=True)
            for name, task in asked.items()
        ]

    async def create(self, volume: VolumeId, pool: str, size: int) -> None:
        async def leave_empty(part: Path) -> None:
            await in_thread(os.truncate, part, size * GIB)

        await self._make(self._volume(volume, pool), pool, leave_empty)

    async def create_from_volume(
        self, volume: VolumeId, pool: str, size: int, source: VolumeId, source_pool: str, progress: Progress
    ) -> None:
        origin = self._volume(source, source_pool)
        missing = NotFound("Volume", source)
        await self._make(self._volume(volume, pool), pool, self._clone(pool, origin, missing, progress, size))

    async def create_from_snapshot(
        self,
        volume: VolumeId,
        pool: str,
        size: int,
        source: SnapshotId,
        source_pool: str,
        progress: Progress,
    ) -> None:
        origin = self._snapshot(source, source_pool)
        missing = NotFound("Snapshot", source)
        await self._make(self._volume(volume, pool), pool, self._clone(pool, origin, missing, progress, size))

    async def create_from_image(
        self, volume: VolumeId, pool: str, size: int, image: ImageFile, progress: Progress
    ) -> None:
        async def convert(part: Path) -> None:
            require_fits(image, size)
            await in_thread(os.truncate, part, size * GIB)
            async with self._turn_to_copy[pool].take():
                await qemu_img.convert(
                    image.path,
                    image.format,
                    part,
                    virtual_size=image.virtual_size,
                    progress=progress,
                    timeout=self._convert_timeout,
                    target_is_zero=True,
                )

        await self._make(self._volume(volume, pool), pool, convert)

    async def delete(self, volume: VolumeId, pool: str) -> None:
        await self._remove(self._volume(volume, pool), pool)

    async def extend(self, volume: VolumeId, pool: str, size: int) -> None:
        path = self._volume(volume, pool)
        async with self._lock(path), self._changing(pool):
            try:
                await in_thread(_grow, path, size * GIB)
            except FileNotFoundError:
                raise NotFound("Volume", volume) from None

    async def revert(self, volume: VolumeId, pool: str, snapshot: SnapshotId, progress: Progress) -> None:
        path, origin = self._volume(volume, pool), self._snapshot(snapshot, pool)
        clone = self._clone(pool, origin, NotFound("Snapshot", snapshot), progress)
        await self._make(path, pool, clone, instead=NotFound("Volume", volume))

    async def create_snapshot(
        self, snapshot: SnapshotId, volume: VolumeId, pool: str, progress: Progress
    ) -> None:
        origin = self._volume(volume, pool)
        missing = NotFound("Volume", volume)
        await self._make(self._snapshot(snapshot, pool), pool, self._clone(pool, origin, missing, progress))

    async def delete_snapshot(self, snapshot: SnapshotId, pool: str) -> None:
        await self._remove(self._snapshot(snapshot, pool), pool)

    async def device(self, volume: VolumeId, pool: str) -> Path:
        path = self._volume(volume, pool)
        async with self._changing(pool):
            if not await in_thread(path.exists):
                raise NotFound("Volume", volume)
        return path

    async def manageable(self, pool: str) -> list[Manageable]:
        directory = self._directory(pool)
        with self._within(pool):
            return await in_thread(files_manageable.every, directory)

    async def adopt(self, piece: StoredObject, name: str) -> int:
        path, directory = self._path(piece.pool, _SHELVES[piece.kind], piece.id), self._directory(piece.pool)
        async with self._lock(path), self._changing(piece.pool):
            return await in_thread(files_manageable.adopt, path, directory, name)

    async def put_aside(self, piece: StoredObject, name: str) -> None:
        path, directory = self._path(piece.pool, _SHELVES[piece.kind], piece.id), self._directory(piece.pool)
        move = files_manageable.release if piece.whole else files_manageable.release_parts
        async with self._lock(path), self._changing(piece.pool):
            await in_thread(move, path, directory, name)

    async def put_back(self, piece: StoredObject, name: str) -> None:
        path, directory = self._path(piece.pool, _SHELVES[piece.kind], piece.id), self._directory(piece.pool)
        async with self._lock(path), self._changing(piece.pool):
            await in_thread(files_manageable.take_back, path, directory, name)

    async def give_up(self, pool: str, name: str) -> None:
        async with self._changing(pool):
            await in_thread(files_manageable.give_up, self._directory(pool), name)

    async def inventory(self) -> Inventory:
        pieces: set[StoredObject] = set()
        for pool, directory in self._pools.items():
            for kind, shelf in _SHELVES.items():
                with self._within(pool, looks=True):
                    names = await in_thread(os.listdir, directory / shelf)
                    parts = await in_thread(files_parts.ids, directory / shelf, names)
                pieces |= {StoredObject(kind, name, pool) for name in names if is_canonical(name)}
                pieces |= {StoredObject(kind, part, pool, whole=False) for part in parts if is_canonical(part)}
        return Inventory(frozenset(pieces))

    async def discard(self, piece: StoredObject) -> None:
        path = self._path(piece.pool, _SHELVES[piece.kind], piece.id)
        async with self._lock(path), self._changing(piece.pool):
            await in_thread(_unlink if piece.whole else _unlink_parts_anywhere, path)

    @asynccontextmanager
    async def _changing(self, pool: str) -> AsyncIterator[None]:
        """Change something in the pool: nothing is, where something else lies in its place by now."""
        with self._within(pool):
            await in_thread(self._require_taken, pool)
            yield

    def _require_taken(self, pool: str) -> None:
        directory, held = self._directory(pool), self._occupied.get(pool)
        if held is not None and not held.is_of(directory / _MARK):
            raise Retryable(
                "The pool's directory is not the one that it was: is its storage mounted?",
                f"Pool '{pool}', {directory}.",
            )

    @contextmanager
    def _within(self, pool: str, *, looks: bool = False) -> Iterator[None]:
        """Work in the pool's own threads, as it may be a mount of its own that hangs; errors explained.

        Who only looks at it has others than who writes: a disk may hang for those alone.
        """
        with _explained(pool), in_threads_of((self._looking if looks else self._threads)[pool]):
            yield

    # --- names ---------------------------------------------------------------------------------------

    def _volume(self, volume: VolumeId, pool: str) -> Path:
        return self._path(pool, "volumes", volume)

    def _snapshot(self, snapshot: SnapshotId, pool: str) -> Path:
        return self._path(pool, "snapshots", snapshot)

    def _path(self, pool: str, shelf: str, name: str) -> Path:
        if not is_canonical(name):
            raise Invalid(f"{name!r} is not an id, and no file is named after it.")
        return self._directory(pool) / shelf / name

    def _directory(self, pool: str) -> Path:
        if pool not in self._pools:
            raise TryAnotherBackend("The pool is not in its host's settings.", f"It is '{pool}'.")
        return self._pools[pool]

    def _lock(self, path: Path) -> asyncio.Lock:
        """The lock of a file: the second of two equal calls finds the first one's work."""
        return self._locks.setdefault(path, asyncio.Lock())

    # --- how files come and go -----------------------------------------------------------------------

    async def _make(self, path: Path, pool: str, fill: Fill, instead: NotFound | None = None) -> None:
        """Make a file, unless it is there; or, with ``instead``, in place of one that has to be there."""
        part, stop = files_parts.new(path), threading.Event()
        async with self._lock(path), self._changing(pool):
            if await in_thread(path.exists):
                if instead is None:
                    return
            elif instead is not None:
                raise instead
            try:
                await in_thread(_begin_anew, path, part)
                await fill(part)
                await in_thread(_publish, part, path, stop, stop=stop)
            except BaseException:
                await in_thread(part.unlink, True)
                raise

    def _clone(
        self, pool: str, origin: Path, missing: NotFound, progress: Progress, size: int | None = None
    ) -> Fill:
        """Fill with what ``origin`` holds now; ``size`` in GiB, or none to end up as large as ``origin``.

        An origin that was extended since the volume was accepted is cut to the size that was asked for.
        """

        async def clone(part: Path) -> None:
            try:
                if not await in_thread(sparse.share, origin, part):
                    async with self._turn_to_copy[pool].take():
                        await self._copy(origin, part, progress)
            except FileNotFoundError:
                raise missing from None
            if size is not None:
                await in_thread(os.truncate, part, size * GIB)
            progress(1.0)

        return clone

    async def _copy(self, origin: Path, part: Path, progress: Progress) -> None:
        loop = asyncio.get_running_loop()
        stop = threading.Event()

        def tell(done: float) -> None:
            loop.call_soon_threadsafe(progress, done)

        await in_thread(sparse.copy, origin, part, tell, stop, stop=stop)

    async def _remove(self, path: Path, pool: str) -> None:
        async with self._lock(path), self._changing(pool):
            await in_thread(_unlink, path)

    async def _facts(self, pool: str) -> PoolFacts:
        directory = self._pools[pool]
        with self._within(pool, looks=True):
            await in_thread(_require_writable, directory)
            disk = await in_thread(os.statvfs, directory)
            total = disk.f_blocks * disk.f_frsize / GIB
            free = disk.f_bavail * disk.f_frsize / GIB
            if self._capacity_gb is not None:
                total = min(total, self._capacity_gb)
                free = max(0.0, min(free, total - await in_thread(_allocated, directory) / GIB))
        return PoolFacts(
            name=pool,
            total_gb=total,
            free_gb=free,
            thin=True,
            max_over_subscription_ratio=self._max_over_subscription_ratio,
            reserved_percentage=self._reserved_percentage,
            capabilities={IMAGE_CACHE: SHARES if self._shares.get(pool) else COPIES},
        )


# --- in threads ------------------------------------------------------------------------------------------


def _prepare(pool: Path) -> None:
    for shelf in (pool / name for name in _SHELVES.values()):
        for directory in (shelf, files_parts.directory(shelf)):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _require_writable(directory)


def _require_writable(directory: Path) -> None:
    """Raise ``OSError`` where nothing may be written: an NFS's server may allow less than its mount says."""
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _begin_anew(path: Path, part: Path) -> None:
    _unlink_parts(path)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _publish(part: Path, path: Path, stop: threading.Event) -> None:
    sync(part)
    if stop.is_set():  # it took so long that nobody waits for it: it may be told by now that it failed
        return
    part.rename(path)
    sync(path.parent)


def _read_mark(path: Path) -> Mark | None:
    try:
        return mark.read(path.read_text())
    except FileNotFoundError:
        return None


def _grow(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        if os.fstat(file.fileno()).st_size < size:
            os.ftruncate(file.fileno(), size)
            os.fsync(file.fileno())


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    _unlink_parts(path)


def _unlink_parts(path: Path) -> None:
    """Syncing the directory also tells a deleted file from a pool that is not mounted: that one is an error."""
    for part in files_parts.left(path):
        part.unlink(missing_ok=True)
    sync(path.parent)


def _unlink_parts_anywhere(path: Path) -> None:
    for part in files_parts.left_anywhere(path):
        part.unlink(missing_ok=True)
    sync(path.parent)


def _allocated(pool: Path) -> int:
    """Bytes on disk of everything in the pool, finished or not."""
    shelves = [pool / name for name in _SHELVES.values()]
    directories = [*shelves, *map(files_parts.directory, shelves)]
    return sum(entry.stat().st_blocks * 512 for directory in directories for entry in os.scandir(directory))


@contextmanager
def _explained(pool: str) -> Iterator[None]:
    """The operating system's errors in the contract's words."""
    try:
        yield
    except OSError as error:
        which = f"Pool '{pool}'."
        if error.errno in _FULL:
            raise TryAnotherBackend("The pool is full.", which) from error
        if error.errno in _PASSING:
            raise Retryable(f"The pool cannot be used for the moment: {error.strerror}.", which) from error
        raise TryAnotherBackend(f"The pool cannot be used: {error.strerror}.", which) from error

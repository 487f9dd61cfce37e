"""Backups in chunks: read, hashed, compressed and kept one after the other; checked when they are restored.

1. chunks whose objects stand from an earlier try are read back: those that are what they should be are kept
2. the others are read two at a time, and written in their order: first a chunk's objects, then that it is there
3. the hashes, then the metadata: from then on the backup is whole
4. what said which chunks are there is removed

A backup is never written over another's objects: their names have its id.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pumice.backends.backups import layout
from pumice.backends.backups.chunks import BLOCK, Chunk, md5_of, md5_of_zeroes, read_chunk, zeroes
from pumice.backends.backups.compression import expanded
from pumice.backends.backups.contract import Damaged, Found, Objects, Progress, Record, Written
from pumice.backends.backups.layout import Done, Object
from pumice.backends.sparse import data_ranges
from pumice.host.thread import in_thread
from pumice.model.errors import NotFound, Retryable
from pumice.model.units import MIB

T = TypeVar("T")

AT_ONCE = 2
"""Chunks that are read and compressed at a time."""
AHEAD = 64
"""Chunks that are looked at ahead, most of them holes: those with data are one more than are read at a time."""
_STEP = 65536
"""Bytes that stay a hole when they are zeroes."""
_ZEROES = bytes(_STEP)


class ChunkedBackups:
    """Backups in ``objects``. ``chunk_size`` in bytes, a multiple of 32 KiB."""

    def __init__(
        self,
        objects: Objects,
        *,
        driver: str,
        service: str,
        bucket: str | None = None,
        chunk_size: int = 32 * MIB,
        compression: str = "zstd",
    ) -> None:
        assert chunk_size % BLOCK == 0
        self.driver = driver
        self.service = service
        self.bucket = bucket
        self._objects = objects
        self._chunk_size = chunk_size
        self._compression = compression

    async def look(self) -> None:
        """See ``BackupStore``."""
        await in_thread(self._objects.look)

    async def write(self, record: Record, device: Path, parent: Record | None, progress: Progress) -> Written:
        """See ``BackupStore``."""
        return await _stoppable(
            progress, lambda tell, stop: _Writing(self, record, parent, tell, stop).write(device)
        )

    async def restore(self, chain: Sequence[Record], device: Path, *, is_new: bool, progress: Progress) -> None:
        """See ``BackupStore``."""
        await _stoppable(progress, lambda tell, stop: self._restore(chain, device, is_new, tell, stop))

    async def check(self, record: Record) -> tuple[int, dict[str, Any]]:
        """See ``BackupStore``."""
        return await in_thread(self._check, record)

    async def delete(self, record: Record) -> None:
        """See ``BackupStore``."""
        await in_thread(self._delete, record)

    async def free(self, found: Found) -> None:
        """See ``BackupStore``."""
        await in_thread(self._delete, found)

    async def inventory(self, containers: Collection[str]) -> Sequence[Found]:
        """See ``BackupStore``."""
        return await in_thread(self._inventory, containers)

    # --- in threads ------------------------------------------------------------------------------------

    def _listed(self, record: Record) -> list[Object]:
        """The objects that a whole backup has. Raises ``Damaged`` when others are there."""
        wanted = layout.read_metadata(record, self._objects.get(record.container, layout.metadata_name(record)))
        there = layout.object_names(record, self._objects.names(record.container, record.prefix))
        if sorted(it.name for it in wanted) != sorted(there):
            raise Damaged(f"The objects of backup {record.id} are not those that its metadata names.")
        return wanted

    def _check(self, record: Record) -> tuple[int, dict[str, Any]]:
        number = len(self._listed(record))
        said = self._objects.get(record.container, layout.metadata_name(record))
        return number, layout.source(record, said)

    def _bytes(self, record: Record, it: Object) -> bytes:
        """An object's bytes as they were in the volume. Raises ``Damaged`` or ``NotFound``."""
        data = expanded(it.compression, self._objects.get(record.container, it.name), it.length)
        if len(data) != it.length or md5_of(data) != it.md5:
            raise Damaged(f"Object {it.name} of backup {record.id} is not what was written.")
        return data

    def _restore(
        self,
        chain: Sequence[Record],
        device: Path,
        is_new: bool,
        tell: Callable[[float], None],
        stop: threading.Event,
    ) -> None:
        parts = [(record, it) for record in chain for it in self._listed(record)]
        with _opened(device, os.O_RDWR, chain[-1].size) as file:
            for number, (record, it) in enumerate(parts):
                if stop.is_set():
                    return
                fresh = is_new and record is chain[0]
                if it.md5 == md5_of_zeroes(it.length):
                    if not fresh:
                        _zero(file, it.offset, it.length)
                else:
                    _write(file, it.offset, self._bytes(record, it), skip_zeroes=fresh)
                tell((number + 1) / len(parts))
            os.fsync(file)

    def _delete(self, record: Record | Found) -> None:
        names = self._objects.names(record.container, record.prefix)
        first = sorted(names, key=lambda name: not name.endswith("_metadata"))
        hidden = self._objects.names(record.container, layout.hidden_of(record))
        self._objects.remove(record.container, [*first, *hidden])

    def _inventory(self, containers: Collection[str]) -> list[Found]:
        found: dict[tuple[str, str], Found] = {}
        for container, name in self._objects.every(containers):
            if not (named := layout.NAME.fullmatch(name)):
                continue
            prefix, volume_id, backup_id, what, part = named.groups()
            key, is_end = (container, prefix), what == "_metadata" and part is None
            whole = is_end or (key in found and found[key].whole)
            found[key] = Found(backup_id, volume_id, container, prefix, whole)
        return list(found.values())


class _Writing:
    """An attempt to write a backup."""

    def __init__(
        self,
        store: ChunkedBackups,
        record: Record,
        parent: Record | None,
        tell: Callable[[float], None],
        stop: threading.Event,
    ) -> None:
        self.store, self.record, self.tell, self.stop = store, record, tell, stop
        self.objects = store._objects
        self.before: list[str] | None = None
        if parent is not None:
            data = self.objects.get(parent.container, layout.hashes_name(parent))
            self.before = layout.read_hashes(parent, data)
        size = store._chunk_size
        self.spans = [(at, min(size, record.size - at)) for at in range(0, record.size, size)]

    def write(self, device: Path) -> Written:
        record = self.record
        if layout.metadata_name(record) in self.objects.names(record.container, record.prefix):
            self._forget_progress()
            return Written(len(self.store._listed(record)), 0)
        done = self._standing(set(self._hidden()))
        kept = sum(len(one.objects) for one in done)
        with _opened(device, os.O_RDONLY, record.size) as file:
            done += self._rest(file, len(done), kept)
        if self.stop.is_set():
            return Written(0, kept)
        objects = [it for one in done for it in one.objects]
        self._finish(objects, [it for one in done for it in one.hashes])
        return Written(len(objects), kept)

    def _standing(self, names: set[str]) -> list[Done]:
        """The chunks from the first on that stand from an earlier try, read back."""
        done: list[Done] = []
        for number, (offset, length) in enumerate(self.spans, 1):
            name = layout.progress_name(self.record, number)
            if name not in names or self.stop.is_set():
                break
            data = self.objects.get(self.record.container, name)
            one = layout.read_progress(self.record, data, offset, length)
            if one is None or not self._stands(one):
                break
            done.append(one)
            self.tell(number / len(self.spans))
        return done

    def _stands(self, one: Done) -> bool:
        try:
            return all(map(self._is_kept, one.objects))
        except (Damaged, NotFound):
            return False

    def _is_kept(self, it: Object) -> bool:
        """Raises ``Damaged`` or ``NotFound`` if it is not. Zeroes are known by what they become."""
        if it.md5 == md5_of_zeroes(it.length):
            kept = self.objects.get(self.record.container, it.name)
            if (it.compression, kept) == zeroes(it.length, self.store._compression):
                return True
        return bool(self.store._bytes(self.record, it))

    def _rest(self, file: int, first: int, numbered: int) -> list[Done]:
        """The chunks from ``first`` on, of which the objects are numbered on."""
        done: list[Done] = []
        with ThreadPoolExecutor(AT_ONCE, "backup") as readers:
            waiting: list[tuple[tuple[int, int], bool, Future[Chunk]]] = []
            spans = iter(self.spans[first:])
            while not self.stop.is_set():
                for offset, length in spans:
                    data = list(data_ranges(file, offset + length, offset))
                    reading = readers.submit(self._read, file, offset, length, data)
                    waiting.append(((offset, length), bool(data), reading))
                    if sum(it for _, it, _ in waiting) > AT_ONCE or len(waiting) >= AHEAD:
                        break
                if not waiting:
                    break
                span, _, reading = waiting.pop(0)
                one = self._keep(*span, reading.result(), first + len(done) + 1, numbered)
                numbered += len(one.objects)
                done.append(one)
                self.tell((first + len(done)) / len(self.spans))
        return done

    def _read(self, file: int, offset: int, length: int, data: Sequence[tuple[int, int]]) -> Chunk:
        before = None
        if self.before is not None:
            before = self.before[offset // BLOCK : -(-(offset + length) // BLOCK)]
        return read_chunk(file, offset, length, data, self.store._compression, before)

    def _keep(self, offset: int, length: int, chunk: Chunk, number: int, numbered: int) -> Done:
        """Write a chunk's objects, then that they are there."""
        kept = []
        for place, piece in enumerate(chunk.pieces, numbered + 1):
            it = Object(
                f"{self.record.prefix}-{place:05d}", piece.offset, piece.length, piece.compression, piece.md5
            )
            self.objects.put(self.record.container, it.name, piece.data)
            kept.append(it)
        progress = layout.progress(self.record, offset, length, chunk, kept)
        self.objects.put(self.record.container, layout.progress_name(self.record, number), progress)
        return Done(offset, length, chunk.hashes, kept)

    def _finish(self, objects: Sequence[Object], hashes: Sequence[str]) -> None:
        record = self.record
        wanted = {it.name for it in objects}
        names = layout.object_names(record, self.objects.names(record.container, record.prefix))
        if stale := [name for name in names if name not in wanted]:  # of a try with chunks of another size
            self.objects.remove(record.container, stale)
        self.objects.put(record.container, layout.hashes_name(record), layout.hashes(record, hashes))
        self.objects.settle(record.container, [*sorted(wanted), layout.hashes_name(record)])
        self.objects.put(record.container, layout.metadata_name(record), layout.metadata(record, objects))
        self.objects.settle(record.container, [layout.metadata_name(record)])
        self._forget_progress()

    def _forget_progress(self) -> None:
        self.objects.remove(self.record.container, self._hidden())

    def _hidden(self) -> Sequence[str]:
        """The names of what says which chunks are there, and of what is left of a kill."""
        return self.objects.names(self.record.container, layout.hidden_of(self.record))


async def _stoppable(progress: Progress, work: Callable[[Callable[[float], None], threading.Event], T]) -> T:
    """``work`` in a thread; it is told to stop when the caller is cancelled."""
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def tell(done: float) -> None:
        loop.call_soon_threadsafe(progress, done)

    return await in_thread(work, tell, stop, stop=stop)


@contextmanager
def _opened(device: Path, how: int, size: int) -> Iterator[int]:
    """A device or file of at least ``size`` bytes. Raises ``NotFound`` or ``Retryable``."""
    try:
        file = os.open(device, how | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("Device", device.name) from None
    try:
        if os.lseek(file, 0, os.SEEK_END) < size:
            raise Retryable("The device is smaller than its volume.", f"It is {device}.")
        yield file
    except OSError as error:
        raise Retryable(
            "The volume's device cannot be read or written.", f"{device}: {error.strerror or error}."
        ) from error
    finally:
        os.close(file)


def _zero(file: int, offset: int, length: int) -> None:
    """Write zeroes where something is; a hole stays one."""
    for start, end in data_ranges(file, offset + length, offset):
        for at in range(start, end, _STEP):
            _write(file, at, _ZEROES[: min(_STEP, end - at)], skip_zeroes=False)


def _write(file: int, offset: int, data: bytes, *, skip_zeroes: bool) -> None:
    """Write to a device; zeroes only where something else is, or may be."""
    for at in range(0, len(data), _STEP):
        piece = data[at : at + _STEP]
        if piece == _ZEROES[: len(piece)]:
            where = offset + at
            if skip_zeroes or not any(data_ranges(file, where + len(piece), where)):
                continue
        done = 0
        while done < len(piece):
            done += os.pwrite(file, piece[done:], offset + at + done)

"""A backend that costs nothing, for benchmarks of everything else and for tests of the API.

Without a directory it holds names in memory, and of all bytes one word: ``write`` puts it into a volume, copies
have it too, ``contents`` tells it. Every volume's device is ``/dev/zero``, and images are not read. With a
directory it holds real bytes there, by way of the ``files`` backend, and so
survives a restart of the process.

It can be told to be slow (``delay``), to stand still (``free``), to fail (``fail_next``), and to say of every
volume that it is ``deep``, in either form.
"""

import asyncio
import math
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from pumice.backends.contract import (
    Backend,
    ImageFile,
    Inventory,
    Manageable,
    PoolFacts,
    Progress,
    require_fits,
)
from pumice.backends.files import FilesBackend
from pumice.backends.on_this_host import OnThisHost
from pumice.model.errors import Conflict, Misconfigured, NotFound, TryAnotherBackend
from pumice.model.export import Device
from pumice.model.ids import SnapshotId, VolumeId
from pumice.model.image_location import RbdLocation
from pumice.model.mark import Mark
from pumice.model.stored import StoredObject
from pumice.model.units import GIB
from pumice.model.volume import IMAGE_CACHE, SHARES


class FakeBackend:
    """Every call first waits ``delay`` seconds, and while ``free`` is cleared; what ``fail_next`` holds under
    its name it raises, once.

        backend.fail_next["create"] = TryAnotherBackend("The pool is full.")

    The pools say that they hold ``capacity_gb`` and are empty, whatever is put into them.
    """

    driver = "fake"

    def __init__(
        self,
        pools: tuple[str, ...] = ("fake",),
        *,
        directory: Path | None = None,
        capacity_gb: float = math.inf,
        delay: float = 0.0,
    ) -> None:
        self.delay = delay
        self.free = asyncio.Event()
        self.free.set()
        self.fail_next: dict[str, Exception] = {}
        self.deep = False
        self._capacity_gb = capacity_gb
        self.keeps = directory is not None
        self._inner: Backend
        if directory is None:
            self._inner = _Memory(pools)
        else:
            self._inner = FilesBackend({pool: directory / pool for pool in pools})

    def write(self, volume: VolumeId, word: str) -> None:
        """Let a volume in memory hold a word, as if a guest had written it."""
        self._memory.write(volume, word)

    def contents(self) -> dict[str, str]:
        """What each volume and snapshot in memory holds, by its id, and what is manageable, by its name."""
        return self._memory.contents()

    @property
    def _memory(self) -> "_Memory":
        if not isinstance(self._inner, _Memory):
            raise Misconfigured(
                "Only a fake backend without a directory keeps words: read the volume's device."
            )
        return self._inner

    async def _pretend(self, call: str) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self.free.wait()
        if call in self.fail_next:
            raise self.fail_next.pop(call)

    async def pool_names(self) -> list[str]:
        return await self._inner.pool_names()

    async def mark(self, pool: str) -> Mark | None:
        await self._pretend("mark")
        return await self._inner.mark(pool)

    async def set_mark(self, pool: str, ours: Mark) -> None:
        await self._pretend("set_mark")
        await self._inner.set_mark(pool, ours)

    async def occupy(self, pool: str, *, shared: bool) -> None:
        await self._inner.occupy(pool, shared=shared)

    async def start(self) -> None:
        await self._pretend("start")
        await self._inner.start()

    async def pools(self) -> list[PoolFacts]:
        await self._pretend("pools")
        facts = await self._inner.pools()
        return [replace(pool, total_gb=self._capacity_gb, free_gb=self._capacity_gb) for pool in facts]

    async def create(self, volume: VolumeId, pool: str, size: int) -> None:
        await self._pretend("create")
        await self._inner.create(volume, pool, size)

    async def create_from_volume(
        self, volume: VolumeId, pool: str, size: int, source: VolumeId, source_pool: str, progress: Progress
    ) -> None:
        await self._pretend("create_from_volume")
        await self._inner.create_from_volume(volume, pool, size, source, source_pool, progress)

    async def create_from_snapshot(
        self,
        volume: VolumeId,
        pool: str,
        size: int,
        source: SnapshotId,
        source_pool: str,
        progress: Progress,
    ) -> None:
        await self._pretend("create_from_snapshot")
        await self._inner.create_from_snapshot(volume, pool, size, source, source_pool, progress)

    async def create_from_image(
        self, volume: VolumeId, pool: str, size: int, image: ImageFile, progress: Progress
    ) -> None:
        await self._pretend("create_from_image")
        await self._inner.create_from_image(volume, pool, size, image, progress)

    async def clone_image(
        self, volume: VolumeId, pool: str, size: int, image: RbdLocation, progress: Progress
    ) -> bool:
        return await self._inner.clone_image(volume, pool, size, image, progress)

    async def delete(self, volume: VolumeId, pool: str) -> None:
        await self._pretend("delete")
        await self._inner.delete(volume, pool)

    async def extend(self, volume: VolumeId, pool: str, size: int) -> None:
        await self._pretend("extend")
        await self._inner.extend(volume, pool, size)

    async def revert(self, volume: VolumeId, pool: str, snapshot: SnapshotId, progress: Progress) -> None:
        await self._pretend("revert")
        await self._inner.revert(volume, pool, snapshot, progress)

    async def is_deep(self, volume: VolumeId, pool: str) -> bool:
        await self._pretend("is_deep")
        return self.deep or await self._inner.is_deep(volume, pool)

    async def flatten(self, volume: VolumeId, pool: str, seconds: float) -> float:
        await self._pretend("flatten")
        return await self._inner.flatten(volume, pool, seconds)

    async def create_snapshot(
        self, snapshot: SnapshotId, volume: VolumeId, pool: str, progress: Progress
    ) -> None:
        await self._pretend("create_snapshot")
        await self._inner.create_snapshot(snapshot, volume, pool, progress)

    async def delete_snapshot(self, snapshot: SnapshotId, pool: str) -> None:
        await self._pretend("delete_snapshot")
        await self._inner.delete_snapshot(snapshot, pool)

    async def device(self, volume: VolumeId, pool: str) -> Device:
        await self._pretend("device")
        return await self._inner.device(volume, pool)

    def opened(self, volume: VolumeId, pool: str) -> AbstractAsyncContextManager[Path]:
        return self._inner.opened(volume, pool)

    async def manageable(self, pool: str) -> list[Manageable]:
        await self._pretend("manageable")
        return await self._inner.manageable(pool)

    async def adopt(self, piece: StoredObject, name: str) -> int:
        await self._pretend("adopt")
        return await self._inner.adopt(piece, name)

    async def put_aside(self, piece: StoredObject, name: str) -> None:
        await self._pretend("put_aside")
        await self._inner.put_aside(piece, name)

    async def put_back(self, piece: StoredObject, name: str) -> None:
        await self._pretend("put_back")
        await self._inner.put_back(piece, name)

    async def give_up(self, pool: str, name: str) -> None:
        await self._pretend("give_up")
        await self._inner.give_up(pool, name)

    async def inventory(self) -> Inventory:
        await self._pretend("inventory")
        return await self._inner.inventory()

    async def discard(self, piece: StoredObject) -> None:
        await self._pretend("discard")
        await self._inner.discard(piece)


class _Memory(OnThisHost):
    """A backend of names and words. Nothing can be cut short in here: no call waits for anything."""

    driver = "fake"
    keeps = False

    def __init__(self, pools: tuple[str, ...]) -> None:
        self._pools = pools
        self._volumes: dict[tuple[str, VolumeId], str] = {}
        self._snapshots: dict[tuple[str, SnapshotId], str] = {}
        self._manageable = {(pool, "stranger"): "strange" for pool in pools}
        self._marks: dict[str, Mark] = {}

    def write(self, volume: VolumeId, word: str) -> None:
        found = [key for key in self._volumes if key[1] == volume]
        if not found:
            raise NotFound("Volume", volume)
        self._volumes |= dict.fromkeys(found, word)

    def contents(self) -> dict[str, str]:
        everything = self._volumes | self._snapshots | self._manageable
        by_word = sorted(everything.items(), key=lambda it: bool(it[1]))  # of two pools the one with a word
        return {str(name): word for (_, name), word in by_word}

    async def pool_names(self) -> list[str]:
        return list(self._pools)

    async def mark(self, pool: str) -> Mark | None:
        return self._marks.get(pool)

    async def set_mark(self, pool: str, ours: Mark) -> None:
        self._marks[pool] = ours

    async def occupy(self, pool: str, *, shared: bool) -> None:
        """Occupy the pool: in memory nobody else can have it."""

    async def start(self) -> None:
        pass

    async def pools(self) -> list[PoolFacts]:
        return [
            PoolFacts(pool, math.inf, math.inf, True, capabilities={IMAGE_CACHE: SHARES})
            for pool in self._pools
        ]

    async def create(self, volume: VolumeId, pool: str, size: int) -> None:  # noqa: ARG002 - names only
        if pool not in self._pools:
            raise TryAnotherBackend("The pool is not in its host's settings.", f"It is '{pool}'.")
        self._volumes.setdefault((pool, volume), "")

    async def create_from_volume(
        self, volume: VolumeId, pool: str, size: int, source: VolumeId, source_pool: str, progress: Progress
    ) -> None:
        if (pool, volume) not in self._volumes:
            self._require(source, source_pool)
            await self.create(volume, pool, size)
            self._volumes[pool, volume] = self._volumes[source_pool, source]
        progress(1.0)

    async def create_from_snapshot(
        self,
        volume: VolumeId,
        pool: str,
        size: int,
        source: SnapshotId,
        source_pool: str,
        progress: Progress,
    ) -> None:
        if (pool, volume) not in self._volumes:
            if (source_pool, source) not in self._snapshots:
                raise NotFound("Snapshot", source)
            await self.create(volume, pool, size)
            self._volumes[pool, volume] = self._snapshots[source_pool, source]
        progress(1.0)

    async def create_from_image(
        self, volume: VolumeId, pool: str, size: int, image: ImageFile, progress: Progress
    ) -> None:
        require_fits(image, size)
        await self.create(volume, pool, size)
        self._volumes[pool, volume] = image.path.name
        progress(1.0)

    async def delete(self, volume: VolumeId, pool: str) -> None:
        self._volumes.pop((pool, volume), None)

    async def extend(self, volume: VolumeId, pool: str, size: int) -> None:  # noqa: ARG002 - names only
        self._require(volume, pool)

    async def revert(self, volume: VolumeId, pool: str, snapshot: SnapshotId, progress: Progress) -> None:
        self._require(volume, pool)
        if (pool, snapshot) not in self._snapshots:
            raise NotFound("Snapshot", snapshot)
        self._volumes[pool, volume] = self._snapshots[pool, snapshot]
        progress(1.0)

    async def create_snapshot(
        self, snapshot: SnapshotId, volume: VolumeId, pool: str, progress: Progress
    ) -> None:
        if (pool, snapshot) not in self._snapshots:
            self._require(volume, pool)
            self._snapshots[pool, snapshot] = self._volumes[pool, volume]
        progress(1.0)

    async def delete_snapshot(self, snapshot: SnapshotId, pool: str) -> None:
        self._snapshots.pop((pool, snapshot), None)

    async def device(self, volume: VolumeId, pool: str) -> Path:
        self._require(volume, pool)
        return Path("/dev/zero")

    async def manageable(self, pool: str) -> list[Manageable]:
        return [Manageable(name, GIB) for where, name in sorted(self._manageable) if where == pool]

    async def adopt(self, piece: StoredObject, name: str) -> int:
        await self.put_back(piece, name)
        return 1

    async def put_aside(self, piece: StoredObject, name: str) -> None:
        if piece in (await self.inventory()).pieces:
            if (piece.pool, name) in self._manageable:
                raise Conflict(f"There is another '{name}' in the pool.")
            if piece.kind == "volume":
                self._manageable[piece.pool, name] = self._volumes.pop((piece.pool, VolumeId(piece.id)))
            else:
                self._manageable[piece.pool, name] = self._snapshots.pop((piece.pool, SnapshotId(piece.id)))

    async def put_back(self, piece: StoredObject, name: str) -> None:
        if piece in (await self.inventory()).pieces:
            return
        if (piece.pool, name) not in self._manageable:
            raise NotFound("Manageable", name)
        word = self._manageable.pop((piece.pool, name))
        if piece.kind == "volume":
            self._volumes[piece.pool, VolumeId(piece.id)] = word
        else:
            self._snapshots[piece.pool, SnapshotId(piece.id)] = word

    async def give_up(self, pool: str, name: str) -> None:
        self._manageable.pop((pool, name), None)

    async def inventory(self) -> Inventory:
        volumes = {StoredObject("volume", volume, pool) for pool, volume in self._volumes}
        snapshots = {StoredObject("snapshot", snapshot, pool) for pool, snapshot in self._snapshots}
        return Inventory(frozenset(volumes | snapshots))

    async def discard(self, piece: StoredObject) -> None:
        if piece.whole and piece.kind == "volume":
            self._volumes.pop((piece.pool, VolumeId(piece.id)), None)
        elif piece.whole:
            self._snapshots.pop((piece.pool, SnapshotId(piece.id)), None)

    def _require(self, volume: VolumeId, pool: str) -> None:
        if (pool, volume) not in self._volumes:
            raise NotFound("Volume", volume)

"""Volumes as images of Ceph: ``volume-ID`` and ``snapshot-ID``, each an image that lives by itself.

A copy, whether a volume of a volume or of a snapshot, or a snapshot, is a clone that shares what it does not
write, and is of one moment, whoever writes meanwhile::

    origin ──snap──▶ origin@NAME ──clone──▶ NAME.TOKEN.part ──resize, rename──▶ NAME
                     removed: Ceph keeps it, out of sight, for as long as it has clones

Everything has its name only when it is complete; renaming is atomic. What has clones goes to the pool's trash
when it is deleted, and is freed with the last of them: whoever deletes a clone looks after its origin, and each
start after what a kill kept from that. A chain of ``MOST_DEEP`` clones is broken by having the last hold
everything itself before it has its name; so has what is copied to another pool. Long before that a volume is
``deep``, and is flattened in the background while it is used. A volume goes back to a snapshot in two moves; a
first without its second is completed by who comes next::

    NAME ──▶ trash        NAME.back, a whole clone of the snapshot ──▶ NAME

Any number of hosts may serve a pool: nothing is remembered in here but where its monitors are. This class must
never touch an image whose name is not made of an id, save the manageable one that it is told of.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast
from weakref import WeakValueDictionary

import structlog

from pumice.backends import aside
from pumice.backends.contract import (
    ImageFile,
    Inventory,
    Manageable,
    PoolFacts,
    Progress,
    require_fits,
)
from pumice.backends.rbd_bytes import Windows
from pumice.backends.rbd_images import Cluster, HasClones, Image, InUse, IsThere, Parent, RbdImages
from pumice.host import qemu_img
from pumice.host.ceph_keyring import key_of
from pumice.host.sole import Held, take_name
from pumice.host.thread import in_thread
from pumice.host.turn import Serializer
from pumice.model import mark
from pumice.model.errors import Conflict, Invalid, NotFound, PumiceError, Retryable, TryAnotherBackend
from pumice.model.export import RbdImage
from pumice.model.ids import SnapshotId, VolumeId, is_canonical
from pumice.model.image_location import RbdLocation
from pumice.model.mark import Mark
from pumice.model.stored import StoredObject
from pumice.model.units import GIB, gib_to_hold
from pumice.model.volume import CEPH_FSID, IMAGE_CACHE, SHARES

log = structlog.get_logger(__name__)

DEEP = 5
"""A volume below which more clones lie one under the other is flattened in the background."""
MOST_DEEP = 15
"""How many may lie below one at all: the kernel's client opens no image with more than 16."""
AT_A_TIME_SECONDS = 1.0
"""How long a copy is flattened until others have their turn."""
ASK_MONITORS_SECONDS = 300.0
"""How often it is asked which monitors there are, which takes as long as all else of an attach."""
_BACK = ".back"
_OURS = re.compile(
    r"(volume|snapshot)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(\.[0-9a-f]{8}\.part|\.back)?"
)
_Kind = Literal["volume", "snapshot"]
_THEIRS = re.compile(r"[^@/\x00-\x20]{1,200}")
Fill = Callable[[str], Awaitable[None]]
"""Makes an image of the name that it is given."""


class RbdBackend:
    """``pools`` maps each pool's name to what the cluster calls it.

    ``directory`` is for files by which images are read and written here. A volume with more than ``deep``
    clones below it is deep. ``convert_timeout`` (seconds) bounds the conversion of one image; at most
    ``copies_at_once`` run at a time.
    """

    driver = "rbd"
    keeps = True

    def __init__(
        self,
        cluster: Cluster,
        pools: Mapping[str, str],
        directory: Path,
        *,
        max_over_subscription_ratio: float = 20.0,
        reserved_percentage: int = 0,
        deep: int = DEEP,
        convert_timeout: float = 3600.0,
        copies_at_once: int = 2,
    ) -> None:
        self._cluster = cluster
        self._deep = deep
        children = cluster.standby()
        self._images = {name: RbdImages(cluster, pool, children) for name, pool in pools.items()}
        self._windows = Windows(directory)
        self._max_over_subscription_ratio = max_over_subscription_ratio
        self._reserved_percentage = reserved_percentage
        self._convert_timeout = convert_timeout
        self._turn_to_copy = Serializer(copies_at_once)
        self._occupied: dict[str, Held] = {}
        self._shared = set[str]()
        """The cluster's names of the pools that other hosts serve as well."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._monitors: tuple[str, ...] = ()
        self._fsid = ""
        self._monitors_asked = -ASK_MONITORS_SECONDS
        self._asking_monitors = asyncio.Lock()

    async def pool_names(self) -> list[str]:
        return list(self._images)

    async def mark(self, pool: str) -> Mark | None:
        return mark.read(await self._pool(pool).read_mark() or "")

    async def set_mark(self, pool: str, ours: Mark) -> None:
        await self._pool(pool).write_mark(ours.text())

    async def occupy(self, pool: str, *, shared: bool) -> None:
        """Occupy the pool on this machine; on others its mark keeps away who is not of the same cluster."""
        if pool not in self._occupied:
            name = f"pool {self._pool(pool).pool} of {self._cluster.conf}"
            held = take_name(name, f"Pool '{pool}'")
            if shared:
                held.close()  # nobody has it alone
                self._shared.add(self._pool(pool).pool)
            else:
                self._occupied[pool] = held

    async def start(self) -> None:
        await in_thread(key_of, self._cluster.user, self._cluster.keyring)
        await self._windows.clear()
        for images in self._images.values():
            await self._look_after_trash(images)

    async def pools(self) -> list[PoolFacts]:
        usage = await next(iter(self._images.values())).usage()
        if time.monotonic() - self._monitors_asked > ASK_MONITORS_SECONDS:
            await self._ask_monitors()
        return [self._facts(name, images, usage) for name, images in self._images.items()]

    async def create(self, volume: VolumeId, pool: str, size: int) -> None:
        images = self._pool(pool)
        await self._make(images, _name("volume", volume), lambda part: images.create(part, size * GIB))

    async def create_from_volume(
        self, volume: VolumeId, pool: str, size: int, source: VolumeId, source_pool: str, progress: Progress
    ) -> None:
        origin, missing = _name("volume", source), NotFound("Volume", source)
        await self._copy(_name("volume", volume), pool, size, origin, source_pool, missing, progress)

    async def create_from_snapshot(
        self,
        volume: VolumeId,
        pool: str,
        size: int,
        source: SnapshotId,
        source_pool: str,
        progress: Progress,
    ) -> None:
        origin, missing = _name("snapshot", source), NotFound("Snapshot", source)
        await self._copy(_name("volume", volume), pool, size, origin, source_pool, missing, progress)

    async def create_from_image(
        self, volume: VolumeId, pool: str, size: int, image: ImageFile, progress: Progress
    ) -> None:
        images = self._pool(pool)

        async def fill(part: str) -> None:
            require_fits(image, size)
            await images.create(part, size * GIB)
            async with self._turn_to_copy.take(), self._windows.opened(images, part) as file:
                await qemu_img.convert(
                    image.path,
                    image.format,
                    file,
                    virtual_size=image.virtual_size,
                    progress=progress,
                    timeout=self._convert_timeout,
                    target_is_zero=True,
                )

        await self._make(images, _name("volume", volume), fill)

    async def clone_image(
        self, volume: VolumeId, pool: str, size: int, image: RbdLocation, progress: Progress
    ) -> bool:
        """Clone it if it is of this cluster, whatever that is called, and the user may read it there."""
        images = self._pool(pool)
        if await images.fsid() != image.fsid:
            return False
        theirs = images.in_pool(image.pool)

        async def fill(part: str) -> None:
            await theirs.clone(image.image, image.snapshot, images, part)
            await images.resize(part, size * GIB)

        try:
            await self._make(images, _name("volume", volume), fill)
        except (NotFound, TryAnotherBackend) as error:
            log.warning("image.not_cloned", location=image.url, pool=images.pool, why=error.in_full)
            return False
        progress(1.0)
        return True

    async def delete(self, volume: VolumeId, pool: str) -> None:
        await self._remove(self._pool(pool), _name("volume", volume))

    async def extend(self, volume: VolumeId, pool: str, size: int) -> None:
        images, name = self._pool(pool), _name("volume", volume)
        async with self._lock(images, name):
            found = await _found(images, name, NotFound("Volume", volume))
            if found.size < size * GIB:
                await images.resize(name, size * GIB)

    async def revert(self, volume: VolumeId, pool: str, snapshot: SnapshotId, progress: Progress) -> None:
        """Make the volume a clone of the snapshot. No byte is copied; the old ones go with their last clone."""
        images, name, origin = self._pool(pool), _name("volume", volume), _name("snapshot", snapshot)
        async with self._lock(images, name):
            here = await _found(images, name, NotFound("Volume", volume))
            kept = await _found(images, origin, NotFound("Snapshot", snapshot))
            await self._clear(images, name, await images.names_from(name))
            part = _part(name)
            try:
                await self._clone(images, kept, name, images, part, progress)
            except BaseException:
                await self._give_up(images, part)
                raise
            await images.rename(part, name + _BACK)
            try:
                await images.discard(name)
            except InUse:  # whoever else is stopped here may have moved it: what it goes back to stays
                await self._give_up(images, name + _BACK)
                raise
            await images.rename(name + _BACK, name)
            await self._free(images, here.id)
        progress(1.0)

    async def is_deep(self, volume: VolumeId, pool: str) -> bool:
        images = self._pool(pool)
        found = await _found(images, _name("volume", volume), NotFound("Volume", volume))
        return found.parent is not None and await images.depth(found.id, self._deep + 1) > self._deep

    async def flatten(self, volume: VolumeId, pool: str, seconds: float) -> float:
        images, name = self._pool(pool), _name("volume", volume)
        found = await _found(images, name, NotFound("Volume", volume))
        if found.parent is None:
            return 1.0
        done = await self._flatten(images, name, seconds)
        if done == 1:
            await self._look_after(found.parent)
        return done

    async def create_snapshot(
        self, snapshot: SnapshotId, volume: VolumeId, pool: str, progress: Progress
    ) -> None:
        origin, missing = _name("volume", volume), NotFound("Volume", volume)
        await self._copy(_name("snapshot", snapshot), pool, None, origin, pool, missing, progress)

    async def delete_snapshot(self, snapshot: SnapshotId, pool: str) -> None:
        await self._remove(self._pool(pool), _name("snapshot", snapshot))

    async def device(self, volume: VolumeId, pool: str) -> RbdImage:
        images, name = self._pool(pool), _name("volume", volume)
        await _found(images, name, NotFound("Volume", volume))
        if not self._monitors:
            await self._ask_monitors()
        return RbdImage(
            pool=images.pool,
            image=name,
            monitors=self._monitors,
            cluster=self._cluster.name,
            user=self._cluster.user,
            keyring=str(self._cluster.keyring),
            secret_uuid=self._cluster.secret_uuid,
        )

    @asynccontextmanager
    async def opened(self, volume: VolumeId, pool: str) -> AsyncIterator[Path]:
        images, name = self._pool(pool), _name("volume", volume)
        await _found(images, name, NotFound("Volume", volume))
        async with self._windows.opened(images, name) as file:
            yield file

    async def manageable(self, pool: str) -> list[Manageable]:
        images = self._pool(pool)
        theirs = sorted(name for name in await images.names() if not _OURS.fullmatch(name))

        async def look(name: str) -> list[Manageable]:
            with suppress(NotFound):  # it went meanwhile
                it = await images.image(name)
                return [Manageable(it.name, it.size, origin=it.parent.image if it.parent else None)]
            return []

        return [it for found in await asyncio.gather(*map(look, theirs)) for it in found]

    async def adopt(self, piece: StoredObject, name: str) -> int:
        images, ours, theirs = self._pool(piece.pool), _name(piece.kind, piece.id), _theirs(name)
        async with self._lock(images, ours):
            if ours in await _settled(images, ours):
                return (await images.image(ours)).size // GIB
            found = await _found(images, theirs, NotFound("Image", name))
            size = gib_to_hold(found.size)
            if found.size != size * GIB:
                await images.resize(theirs, size * GIB)
            await images.rename(theirs, ours)
            return size

    async def put_aside(self, piece: StoredObject, name: str) -> None:
        images, ours, theirs = self._pool(piece.pool), _name(piece.kind, piece.id), _theirs(name)
        async with self._lock(images, ours):
            names = await _settled(images, ours)
            for one in [ours] if piece.whole else _unfinished(ours, names):
                if one in names:
                    try:
                        await images.rename(one, theirs + one.removeprefix(ours))
                    except IsThere:
                        raise Conflict(f"There is another '{name}' in pool '{piece.pool}'.") from None

    async def put_back(self, piece: StoredObject, name: str) -> None:
        images, ours, theirs = self._pool(piece.pool), _name(piece.kind, piece.id), _theirs(name)
        async with self._lock(images, ours):
            if ours not in await _settled(images, ours):
                await _found(images, theirs, NotFound("Image", name))
                await images.rename(theirs, ours)

    async def give_up(self, pool: str, name: str) -> None:
        await self._throw_away(self._pool(pool), _theirs(name))

    async def inventory(self) -> Inventory:
        pieces: set[StoredObject] = set()
        for pool, images in self._images.items():
            names = await images.names()
            for ours in filter(None, map(_OURS.fullmatch, names)):
                # A volume that was being reverted is whole, also between the two moves.
                whole = not ours[3] or (ours[3] == _BACK and ours[0].removesuffix(_BACK) not in names)
                pieces.add(StoredObject(cast(_Kind, ours[1]), ours[2], pool, whole=whole))
        return Inventory(frozenset(pieces))

    async def discard(self, piece: StoredObject) -> None:
        images, name = self._pool(piece.pool), _name(piece.kind, piece.id)
        if piece.whole:
            await self._remove(images, name)
            return
        async with self._lock(images, name):
            await self._clear(images, name, await _settled(images, name))

    def _pool(self, pool: str) -> RbdImages:
        if pool not in self._images:
            raise TryAnotherBackend("The pool is not in its host's settings.", f"It is '{pool}'.")
        return self._images[pool]

    def _lock(self, images: RbdImages, name: str) -> asyncio.Lock:
        """The lock of an image: the second of two equal calls finds the first one's work."""
        return self._locks.setdefault(images.spec(name), asyncio.Lock())

    async def _ask_monitors(self) -> None:
        """Have the monitors' addresses at hand. Any that still answers tells a client of all others."""
        began = time.monotonic()
        async with self._asking_monitors:
            if self._monitors_asked < began:
                images = next(iter(self._images.values()))
                self._monitors, self._fsid = await images.monitors(), await images.fsid()
                self._monitors_asked = time.monotonic()

    def _facts(self, pool: str, images: RbdImages, usage: Any) -> PoolFacts:
        total, free = images.space_in(usage)
        return PoolFacts(
            name=pool,
            total_gb=total / GIB,
            free_gb=free / GIB,
            thin=True,
            max_over_subscription_ratio=self._max_over_subscription_ratio,
            reserved_percentage=self._reserved_percentage,
            capabilities={IMAGE_CACHE: SHARES, CEPH_FSID: self._fsid},
        )

    # --- how images come and go ------------------------------------------------------------------------

    async def _make(self, images: RbdImages, name: str, fill: Fill) -> None:
        async with self._lock(images, name):
            names = await _settled(images, name)
            await self._clear(images, name, names)
            if name in names:
                return
            part = _part(name)
            try:
                await fill(part)
                await images.rename(part, name)
                if images.pool in self._shared:  # of two who rename at once Ceph tells both that they have
                    await self._throw_away(images, part)
            except BaseException as error:
                await self._give_up(images, part)
                if not isinstance(error, IsThere) or name not in await images.names_from(name):
                    raise  # else another host has made it meanwhile

    async def _copy(
        self,
        name: str,
        pool: str,
        size: int | None,
        origin: str,
        source_pool: str,
        missing: NotFound,
        progress: Progress,
    ) -> None:
        """``size`` in GiB, or none to end up as large as ``origin``."""
        images, source = self._pool(pool), self._pool(source_pool)

        async def fill(part: str) -> None:
            found = await _found(source, origin, missing)
            await self._clone(source, found, name, images, part, progress)
            if size is not None and found.size != size * GIB:
                await images.resize(part, size * GIB, may_cut=True)
            progress(1.0)

        await self._make(images, name, fill)

    async def _clone(
        self,
        source: RbdImages,
        origin: Image,
        name: str,
        images: RbdImages,
        part: str,
        progress: Progress,
    ) -> None:
        """``part`` begins as what ``origin`` holds now, kept meanwhile under the name of what it will be."""
        try:
            try:
                await source.snap(origin.name, name)
            except IsThere:  # of a call that was cut short, and of another moment
                await source.drop_snap(origin.name, name)
                await source.snap(origin.name, name)
            await source.clone(origin.name, name, images, part)
        except NotFound as gone:  # the origin went meanwhile, or another call took our snapshot for a remnant
            raise Retryable("What was to be copied went away meanwhile.", str(gone)) from None
        finally:
            with suppress(PumiceError):  # one that stays keeps nobody from anything, and goes with its image
                await source.drop_snap(origin.name, name)
        if source is not images or (origin.parent and await source.depth(origin.id, MOST_DEEP) >= MOST_DEEP):
            while (done := await self._flatten(images, part, AT_A_TIME_SECONDS)) < 1:
                progress(done)
            await self._look_after(Parent(source.pool, origin.name, origin.id))

    async def _flatten(self, images: RbdImages, name: str, seconds: float) -> float:
        async with self._turn_to_copy.take():
            return await images.flatten(name, seconds)

    async def _remove(self, images: RbdImages, name: str) -> None:
        """Free an image, and whatever calls that were cut short left of its name, also in the trash."""
        async with self._lock(images, name):
            names = await images.names_from(name)
            await self._clear(images, name, names)
            if name in names:
                await self._throw_away(images, name)
            for known, image_id in await images.trash():
                if known == name or known in _unfinished(name, [known]):
                    await self._free(images, image_id)

    async def _clear(self, images: RbdImages, name: str, names: Iterable[str]) -> None:
        """Free what calls that were cut short left of a name."""
        for part in _unfinished(name, names):
            await self._throw_away(images, part)

    async def _give_up(self, images: RbdImages, part: str) -> None:
        """Free what was not finished, if the cluster lets us; else whoever comes next does."""
        with suppress(PumiceError):
            await self._throw_away(images, part)

    async def _throw_away(self, images: RbdImages, name: str) -> None:
        with suppress(NotFound):
            found = await images.image(name)
            try:
                await images.remove(name)
            except HasClones:
                await images.discard(name)
                await self._free(images, found.id)
            else:
                await self._look_after(found.parent)

    async def _free(self, images: RbdImages, image_id: str) -> None:
        """Free an image that is in the trash, unless it has clones."""
        with suppress(NotFound, HasClones):
            found = await images.image_of_id(image_id)
            await images.remove_from_trash(image_id)
            await self._look_after(found.parent)

    async def _look_after(self, origin: Parent | None) -> None:
        """Free what waits in the trash for its last clone, if that was this one.

        It may have come there meanwhile: who deleted it saw the clone, and left it to us.
        """
        for images in self._images.values():
            if origin and images.pool == origin.pool:
                await self._look_after_trash(images, origin.id)

    async def _look_after_trash(self, images: RbdImages, wanted: str = "") -> None:
        """Free what waits in the trash and has no clones: everything of ours, or ``wanted`` alone (an id).

        Who is killed after it freed a clone cannot look after its origin: whoever starts looks after all. What
        somebody has open waits for that as well.
        """

        async def free(image_id: str) -> None:
            with suppress(InUse):
                await self._free(images, image_id)

        waiting = [it for known, it in await images.trash() if _is_left_here(known) and wanted in ("", it)]
        await asyncio.gather(*map(free, waiting))


# --- names -----------------------------------------------------------------------------------------------


def _name(kind: str, wanted: str) -> str:
    if not is_canonical(wanted):
        raise Invalid(f"{wanted!r} is not an id, and no image is named after it.")
    return f"{kind}-{wanted}"


def _theirs(name: str) -> str:
    """The name of an image that is none of ours. Raises ``Invalid``."""
    if not _THEIRS.fullmatch(name) or _OURS.fullmatch(name):
        raise Invalid(f"{name!r} is not the name of an image that could be managed.")
    return name


def _is_left_here(name: str) -> bool:
    """Whether what has this name in the trash was put there by us; that of others is never freed."""
    return bool(_OURS.fullmatch(name) or aside.read(Manageable(name, 0), ""))


def _part(name: str) -> str:
    return f"{name}.{secrets.token_hex(4)}.part"


def _unfinished(name: str, names: Iterable[str]) -> list[str]:
    """What there is of a name besides what it names."""
    return [it for it in names if it.startswith(f"{name}.") and _OURS.fullmatch(it)]


async def _found(images: RbdImages, name: str, missing: NotFound) -> Image:
    """The image of a name; one that was being reverted is completed."""
    try:
        return await images.image(name)
    except NotFound:
        if await _complete_revert(images, name):
            return await images.image(name)
        raise missing from None


async def _settled(images: RbdImages, name: str) -> frozenset[str]:
    """Every image of this name, and what else there is of it, once a revert that was cut short is completed."""
    names = await images.names_from(name)
    if name not in names and name + _BACK in names and await _complete_revert(images, name):
        return names - {name + _BACK} | {name}
    return names


async def _complete_revert(images: RbdImages, name: str) -> bool:
    """A volume that was discarded for what it goes back to: that takes its place. Whether there was one."""
    try:
        await images.rename(name + _BACK, name)
    except NotFound:
        return False
    return True

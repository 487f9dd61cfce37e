"""Volumes as logical volumes of LVM, thin or thick: ``volume-ID`` and ``snap-ID`` (``snapshot…`` is LVM's own).

Everything has its name only when it is complete; renaming is one write of the group's metadata. Before, it is
``NAME.part``, after its deletion has begun ``NAME.gone``, and neither is ever served. What a crash left of them
is removed by the next call for its id, create or delete. A volume goes back to a snapshot in two renames; a
first without its second is completed by whoever comes next::

    NAME ──▶ NAME.gone        NAME.back, a whole copy of the snapshot ──▶ NAME

This class decides what is there and what is to be done, one call at a time for a name; ``lvm_thin.py`` and
``lvm_thick.py`` do it, with the commands of ``lvm_group.py``. It must never touch a logical volume whose name
is not made of an id.
"""

import asyncio
import errno
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from weakref import WeakValueDictionary

from pumice.backends.contract import (
    ImageFile,
    Inventory,
    Manageable,
    PoolFacts,
    Progress,
    require_fits,
)
from pumice.backends.lvm_group import LogicalVolume, VolumeGroup
from pumice.backends.lvm_layout import Layout
from pumice.backends.on_this_host import OnThisHost
from pumice.host import block_device, qemu_img
from pumice.host.sole import Held, take_name
from pumice.host.thread import in_thread
from pumice.host.turn import Serializer
from pumice.model import mark
from pumice.model.errors import Conflict, Invalid, NotFound, Retryable, TryAnotherBackend
from pumice.model.ids import SnapshotId, VolumeId, is_canonical
from pumice.model.mark import Mark
from pumice.model.stored import StoredObject
from pumice.model.units import GIB, gib_to_hold

_UNFINISHED = (".moment", ".part", ".back.moment", ".back.part")
_BACK, _GONE = ".back", ".gone"
_OURS = re.compile(
    r"(volume|snap)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})((?:\.back)?(?:\.part|\.moment|\.gone)?)"
)
_NAME = re.compile(r"[A-Za-z0-9+_][A-Za-z0-9+_.-]{0,126}")
_KINDS: dict[str, Literal["volume", "snapshot"]] = {"volume": "volume", "snap": "snapshot"}
_WORDS = {kind: word for word, kind in _KINDS.items()}


class LvmBackend(OnThisHost):
    """The volume group is the one pool, under its own name.

    ``convert_timeout`` (seconds) bounds the conversion of one image; at most ``copies_at_once`` run at a time.
    """

    driver = "lvm"
    keeps = True

    def __init__(
        self,
        group: VolumeGroup,
        layout: Layout,
        *,
        max_over_subscription_ratio: float = 20.0,
        reserved_percentage: int = 0,
        convert_timeout: float = 3600.0,
        copies_at_once: int = 2,
    ) -> None:
        self._group = group
        self._layout = layout
        self._max_over_subscription_ratio = max_over_subscription_ratio
        self._reserved_percentage = reserved_percentage
        self._convert_timeout = convert_timeout
        self._turn_to_convert = Serializer(copies_at_once)
        self._occupied: Held | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def pool_names(self) -> list[str]:
        return [self._group.name]

    async def mark(self, pool: str) -> Mark | None:
        self._require(pool)
        return next((found for tag in await self._group.tags() if (found := mark.read(unquote(tag)))), None)

    async def set_mark(self, pool: str, ours: Mark) -> None:
        self._require(pool)
        there = {tag for tag in await self._group.tags() if mark.read(unquote(tag))} - {_tag(ours)}
        await self._group.retag(_tag(ours), there)

    async def occupy(self, pool: str, *, shared: bool) -> None:  # noqa: ARG002 (no cluster may have one)
        """Occupy the group on this machine, the only one it can be for: LVM cannot tell two machines apart."""
        self._require(pool)
        self._occupied = self._occupied or take_name(f"volume group {pool}", f"Volume group '{pool}'")

    async def start(self) -> None:
        await self._group.configure()
        await self._layout.start()

    async def pools(self) -> list[PoolFacts]:
        space = await self._layout.space()
        facts = PoolFacts(
            name=self._group.name,
            total_gb=space.total,
            free_gb=space.free,
            thin=self._layout.thin,
            max_over_subscription_ratio=self._max_over_subscription_ratio,
            reserved_percentage=self._reserved_percentage,
            capabilities=space.capabilities,
        )
        return [facts]

    async def create(self, volume: VolumeId, pool: str, size: int) -> None:
        name = self._name("volume", volume, pool)
        await self._make(name, lambda: self._layout.blank(name, size * GIB))

    async def create_from_volume(
        self, volume: VolumeId, pool: str, size: int, source: VolumeId, source_pool: str, progress: Progress
    ) -> None:
        origin = self._name("volume", source, source_pool)
        await self._copy(self._name("volume", volume, pool), origin, NotFound("Volume", source), size, progress)

    async def create_from_snapshot(
        self,
        volume: VolumeId,
        pool: str,
        size: int,
        source: SnapshotId,
        source_pool: str,
        progress: Progress,
    ) -> None:
        origin = self._name("snap", source, source_pool)
        await self._copy(
            self._name("volume", volume, pool), origin, NotFound("Snapshot", source), size, progress
        )

    async def create_from_image(
        self, volume: VolumeId, pool: str, size: int, image: ImageFile, progress: Progress
    ) -> None:
        name = self._name("volume", volume, pool)

        async def convert(device: Path, reads_as_zeroes: bool) -> None:
            async with self._turn_to_convert.take():
                await qemu_img.convert(
                    *(image.path, image.format, device),
                    virtual_size=image.virtual_size,
                    progress=progress,
                    timeout=self._convert_timeout,
                    target_is_zero=reads_as_zeroes,
                )
            await block_device.sync(device)

        async def fill() -> None:
            require_fits(image, size)
            await self._layout.image(name, size * GIB, image.virtual_size, convert)

        await self._make(name, fill)

    async def delete(self, volume: VolumeId, pool: str) -> None:
        await self._remove(self._name("volume", volume, pool))

    async def extend(self, volume: VolumeId, pool: str, size: int) -> None:
        name = self._name("volume", volume, pool)
        async with self._lock(name):
            with self._explained():
                await self._layout.grow(await self._found(name, NotFound("Volume", volume)), size * GIB)

    async def create_snapshot(
        self, snapshot: SnapshotId, volume: VolumeId, pool: str, progress: Progress
    ) -> None:
        origin = self._name("volume", volume, pool)
        await self._copy(self._name("snap", snapshot, pool), origin, NotFound("Volume", volume), None, progress)

    async def delete_snapshot(self, snapshot: SnapshotId, pool: str) -> None:
        await self._remove(self._name("snap", snapshot, pool))

    async def device(self, volume: VolumeId, pool: str) -> Path:
        name = self._name("volume", volume, pool)
        path = self._group.device(name)
        if not await in_thread(path.is_block_device):
            await self._found(name, NotFound("Volume", volume))
            await self._group.activate(name)
        return path

    async def revert(self, volume: VolumeId, pool: str, snapshot: SnapshotId, progress: Progress) -> None:
        name, origin = self._name("volume", volume, pool), self._name("snap", snapshot, pool)
        async with self._lock(name):
            with self._explained():
                await self._complete_revert(name)
                here = await self._found(name, NotFound("Volume", volume))
                source = await self._found(origin, NotFound("Snapshot", snapshot))
                await self._clear(name)
                try:
                    await self._layout.copy(name + _BACK, source, here.size, progress)
                except BaseException:
                    await self._clear(name)
                    raise
                await self._group.rename(name, name + _GONE)
                await self._complete_revert(name)

    async def manageable(self, pool: str) -> list[Manageable]:
        self._require(pool)
        found = await self._group.volumes()
        return [
            Manageable(name, volume.size, self._layout.why_not(volume), volume.origin or None)
            for name, volume in sorted(found.items())
            if not _OURS.fullmatch(name) and not volume.is_thin_pool
        ]

    async def adopt(self, piece: StoredObject, name: str) -> int:
        ours = self._name(_WORDS[piece.kind], piece.id, piece.pool)
        async with self._lock(ours):
            with self._explained():
                if (known := (await self._group.volumes(ours)).get(ours)) is None:
                    theirs = await self._found(_theirs(name), NotFound("Logical volume", name))
                    if theirs.is_thin_pool or (why_not := self._layout.why_not(theirs)):
                        raise Invalid(f"'{name}' cannot be a {piece.kind}: {why_not or 'it is a pool.'}")
                    await self._layout.grow(theirs, gib_to_hold(theirs.size) * GIB)
                    await self._group.rename(name, ours)
                    known = await self._found(ours, NotFound(piece.kind.capitalize(), piece.id))
                return known.size // GIB

    async def put_aside(self, piece: StoredObject, name: str) -> None:
        ours, theirs = self._name(_WORDS[piece.kind], piece.id, piece.pool), _theirs(name)
        if piece.whole:
            await self._put_aside(ours, theirs)
            return
        async with self._lock(ours):
            with self._explained():
                ends = (_GONE, _BACK, _BACK + _GONE, *_UNFINISHED)
                for part in await self._group.volumes(*(ours + end for end in ends)):
                    await self._group.rename(part, theirs + part.removeprefix(ours))

    async def _put_aside(self, ours: str, name: str) -> None:
        async with self._lock(ours):
            with self._explained():
                found = await self._group.volumes(ours, name)
                if ours in found:
                    if name in found:
                        raise Conflict(f"There is another '{name}' in the volume group.")
                    await self._group.rename(ours, name)

    async def put_back(self, piece: StoredObject, name: str) -> None:
        ours, theirs = self._name(_WORDS[piece.kind], piece.id, piece.pool), _theirs(name)
        async with self._lock(ours):
            with self._explained():
                if ours not in await self._group.volumes(ours):
                    await self._found(theirs, NotFound("Logical volume", name))
                    await self._group.rename(theirs, ours)

    async def give_up(self, pool: str, name: str) -> None:
        self._require(pool)
        with self._explained():
            for volume in (await self._group.volumes(_theirs(name))).values():
                await self._layout.remove(volume)

    async def inventory(self) -> Inventory:
        found = [ours for name in await self._group.volumes() if (ours := _OURS.fullmatch(name))]
        return Inventory(
            frozenset(
                StoredObject(_KINDS[ours[1]], ours[2], self._group.name, whole=not ours[3]) for ours in found
            )
        )

    async def discard(self, piece: StoredObject) -> None:
        name = self._name(_WORDS[piece.kind], piece.id, piece.pool)
        if piece.whole:
            await self._remove(name)
            return
        async with self._lock(name):
            with self._explained():
                await self._complete_revert(name)
                await self._clear(name)

    # --- names ---------------------------------------------------------------------------------------

    def _name(self, kind: str, wanted: str, pool: str) -> str:
        if not is_canonical(wanted):
            raise Invalid(f"{wanted!r} is not an id, and no logical volume is named after it.")
        self._require(pool)
        return f"{kind}-{wanted}"

    def _require(self, pool: str) -> None:
        if pool != self._group.name:
            raise TryAnotherBackend("The pool is not in its host's settings.", f"It is '{pool}'.")

    def _lock(self, name: str) -> asyncio.Lock:
        """The lock of a name: the second of two equal calls finds the first one's work."""
        return self._locks.setdefault(name, asyncio.Lock())

    # --- how logical volumes come and go -------------------------------------------------------------

    async def _make(self, name: str, fill: Callable[[], Awaitable[None]]) -> None:
        async with self._lock(name):
            with self._explained():
                unfinished = [name + suffix for suffix in _UNFINISHED]
                found = await self._group.volumes(name, *unfinished)
                if name in found:
                    return
                await self._throw_away(found)
                try:
                    await fill()
                except BaseException:
                    await self._throw_away(await self._group.volumes(*unfinished))
                    raise

    async def _copy(
        self, name: str, origin: str, missing: NotFound, size: int | None, progress: Progress
    ) -> None:
        """``size`` in GiB, or none to end up as large as ``origin``."""

        async def fill() -> None:
            source = await self._found(origin, missing)
            await self._layout.copy(name, source, source.size if size is None else size * GIB, progress)

        await self._make(name, fill)

    async def _remove(self, name: str) -> None:
        async with self._lock(name):
            with self._explained():
                await self._clear(name)
                for volume in (await self._group.volumes(name)).values():
                    await self._layout.remove(volume)

    async def _clear(self, name: str) -> None:
        """Remove whatever there is of a name besides what it names."""
        unfinished = [name + suffix for suffix in _UNFINISHED]
        found = await self._group.volumes(*(name + end for end in (_GONE, _BACK, _BACK + _GONE)), *unfinished)
        await self._throw_away({part: found.pop(part) for part in unfinished if part in found})
        for volume in found.values():
            await self._layout.remove(volume)

    async def _complete_revert(self, name: str) -> None:
        """A volume that was renamed away for its copy: the copy takes its place, and its old bytes go."""
        found = await self._group.volumes(name, name + _BACK, name + _GONE)
        if name not in found and name + _BACK in found:
            await self._group.rename(name + _BACK, name)
        if name + _GONE in found:
            await self._layout.remove(found[name + _GONE])

    async def _throw_away(self, found: dict[str, LogicalVolume]) -> None:
        """Remove what was never a volume. The snapshot goes before the copy that it was made for."""
        for name in sorted(found, key=lambda name: not name.endswith(".moment")):
            await self._group.remove(name)

    async def _found(self, name: str, missing: NotFound) -> LogicalVolume:
        found = await self._group.volumes(name)
        if name not in found:
            raise missing
        return found[name]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The operating system's errors in the contract's words."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise TryAnotherBackend("The volume group is full.", f"It is '{self._group.name}'.") from error
            if error.errno == errno.EIO:
                raise TryAnotherBackend(
                    "A disk is broken.", f"It is of volume group '{self._group.name}'."
                ) from error
            raise Retryable(
                "The volume group cannot be used.", f"'{self._group.name}': {error.strerror}."
            ) from error


def _tag(ours: Mark) -> str:
    """A mark in the letters that LVM lets tags have."""
    return re.sub(r"[^A-Za-z0-9_+.:#-]", lambda odd: f"!{ord(odd[0]):02x}", ours.text())


def unquote(tag: str) -> str:
    """The text that a tag stands for."""
    return re.sub(r"!([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), tag)


def _theirs(name: str) -> str:
    """The name of a logical volume that is none of ours. Raises ``Invalid``."""
    if not _NAME.fullmatch(name) or _OURS.fullmatch(name):
        raise Invalid(f"{name!r} is not the name of a logical volume that could be managed.")
    return name

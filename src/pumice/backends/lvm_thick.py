"""Thick volumes of LVM: each has its own extents from the beginning, and a clone or snapshot is a copy.

Free extents hold whatever was in them. So all that a volume is given is overwritten before it is served: a new
one, what lies behind an image, and what an extension adds; there a tag says from where, until it is done, so
that a call that was killed is completed by the next.

``wipe`` is what a deleted volume's extents go through besides: ``zero``, ``discard`` or ``none``. It is wiped
from its end, and cut as it goes: what is left of a removal that was killed is what is left to wipe.

A copy is of one moment, also of a volume in use: a classic snapshot stands still beside it for as long as it
takes. It needs as much free space as its origin; while it lasts, the origin cannot be extended.
"""

from typing import Literal

from pumice.backends.contract import Progress, no_progress
from pumice.backends.lvm_group import LogicalVolume, VolumeGroup
from pumice.backends.lvm_layout import Convert, Space
from pumice.host import block_device, qemu_img
from pumice.host.turn import Serializer
from pumice.model.units import GIB, MIB

Wipe = Literal["zero", "discard", "none"]
_UNZEROED = "pumice.unzeroed-from-"
_CUTS = 64
"""A volume of many GiB is cut at most so often while it is wiped."""


class ThickLayout:
    """``mib_per_second`` holds zeroing back, so that it leaves the disks to their users; None does not."""

    thin = False

    def __init__(
        self,
        group: VolumeGroup,
        *,
        wipe: Wipe = "zero",
        mib_per_second: float | None = None,
        copy_timeout: float = 3600.0,
        copies_at_once: int = 2,
    ) -> None:
        self._group = group
        self._wipe = wipe
        self._mib_per_second = mib_per_second
        self._copy_timeout = copy_timeout
        self._turn_to_copy = Serializer(copies_at_once)

    async def start(self) -> None:
        pass

    async def space(self) -> Space:
        total, free = await self._group.space()
        return Space(total / GIB, free / GIB)

    async def blank(self, name: str, size: int) -> None:
        part = await self._allocate(name, size)
        await self._zero(part, 0, size)
        await self._group.rename(part, name)

    async def copy(self, name: str, source: LogicalVolume, size: int, progress: Progress) -> None:
        part, moment = await self._allocate(name, size), f"{name}.moment"
        words = ("--snapshot", "--extents", "100%ORIGIN", "--name", moment)
        await self._group.change("lvcreate", *words, self._group.of(source.name))
        length = min(size, source.size)
        async with self._turn_to_copy.take():
            devices = (self._group.device(moment), self._group.device(part))
            await qemu_img.copy(*devices, length=length, progress=progress, timeout=self._copy_timeout)
        await self._zero(part, length, size)
        await block_device.sync(self._group.device(part))
        await self._group.remove(moment)
        await self._group.rename(part, name)
        progress(1.0)

    async def image(self, name: str, size: int, image_size: int, convert: Convert) -> None:
        part = await self._allocate(name, size)
        await self._zero(part, image_size // MIB * MIB, size)
        await convert(self._group.device(part), False)
        await self._group.rename(part, name)

    async def grow(self, volume: LogicalVolume, size: int) -> None:
        name = self._group.of(volume.name)
        tag = next((tag for tag in volume.tags if tag.startswith(_UNZEROED)), None)
        if volume.size >= size and tag is None:
            return
        if tag is None:
            tag = f"{_UNZEROED}{volume.size}"
            await self._group.change("lvchange", "--addtag", tag, name)
        if not volume.active:
            await self._group.activate(volume.name)
        if volume.size < size:
            await self._group.change("lvextend", "--size", f"{size}b", name)
        await self._zero(volume.name, int(tag.removeprefix(_UNZEROED)), max(size, volume.size))
        await self._group.change("lvchange", "--deltag", tag, name)

    async def remove(self, volume: LogicalVolume) -> None:
        name, left = volume.name, volume.size
        if not name.endswith(".gone"):
            name = f"{name}.gone"
            await self._group.rename(volume.name, name)
        if not volume.active:
            await self._group.activate(name)
        piece = max(GIB, -(-left // _CUTS // GIB) * GIB)
        while self._wipe != "none" and left > 0:
            rest = max(left - piece, 0)
            if self._wipe == "zero":
                await self._zero(name, rest, left)
            else:
                await block_device.discard(self._group.device(name), rest, left)
            left = rest
            if left:
                await self._group.change("lvreduce", "--force", "--size", f"{left}b", self._group.of(name))
        await self._group.remove(name)

    def why_not(self, volume: LogicalVolume) -> str | None:
        return "It is thin, or a snapshot." if volume.pool or volume.origin else None

    async def _allocate(self, name: str, size: int) -> str:
        part = f"{name}.part"
        words = ("--size", f"{size}b", "--wipesignatures", "n", "--zero", "n", "--name", part)
        await self._group.change("lvcreate", *words, self._group.name)
        return part

    async def _zero(self, name: str, start: int, end: int) -> None:
        device = self._group.device(name)
        await block_device.zero(device, start, end, no_progress, mib_per_second=self._mib_per_second)

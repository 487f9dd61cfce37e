"""Thin volumes of LVM: blocks come from a pool when they are first written, and are shared until they change.

A clone or a snapshot is one ``lvcreate``, for any size, of one moment, also of a volume in use or of a
snapshot. A new block is zeroed by the pool before it is served, so that nothing has to be wiped, ever: a pool
that was made without zeroing is refused.
"""

from pumice.backends.contract import Progress
from pumice.backends.lvm_group import LogicalVolume, VolumeGroup
from pumice.backends.lvm_layout import Convert, Space
from pumice.model.errors import Misconfigured
from pumice.model.units import GIB
from pumice.model.volume import IMAGE_CACHE, SHARES


class ThinLayout:
    """Volumes in the thin pool ``pool``, which is made of the group's free space where there is none."""

    thin = True

    def __init__(self, group: VolumeGroup, pool: str) -> None:
        self._group = group
        self._pool = pool

    async def start(self) -> None:
        if self._pool not in await self._group.volumes(self._pool):
            # A twentieth stays free: for the pool's metadata to grow into, and to be repaired in.
            words = ("--type", "thin-pool", "--extents", "95%FREE", "--zero", "y", "--name", self._pool)
            await self._group.change("lvcreate", *words, self._group.name)
        pool = await self._found()
        name = self._group.of(self._pool)
        if not pool.zeroes:
            raise Misconfigured(
                f"Thin pool '{name}' serves new blocks without zeroing them, so that one tenant would read "
                f"what another has deleted. Have it zero them: lvchange --zero y {name}"
            )
        if not pool.monitored:  # dmeventd extends it before it is full, as far as the group reaches
            await self._group.change("lvchange", "--config", "activation/monitoring=1", "--monitor", "y", name)

    async def space(self) -> Space:
        pool = await self._found()
        threshold, percent = self._group.autoextend
        facts: dict[str, object] = {
            IMAGE_CACHE: SHARES,
            "data_percent": pool.data_percent,
            "metadata_percent": pool.metadata_percent,
            "autoextend_threshold": threshold,
            "autoextend_percent": percent,
            "monitored": pool.monitored,
        }
        return Space(pool.size / GIB, pool.size / GIB * (1 - pool.data_percent / 100), facts)

    async def blank(self, name: str, size: int) -> None:
        words = ("--type", "thin", "--thinpool", self._pool, "--virtualsize", f"{size}b", "--name", name)
        await self._group.change("lvcreate", *words, self._group.name)

    async def copy(self, name: str, source: LogicalVolume, size: int, progress: Progress) -> None:
        made = name if source.size == size else f"{name}.part"
        words = ("--snapshot", "--setactivationskip", "n", "--name", made)
        await self._group.change("lvcreate", *words, self._group.of(source.name))
        if made != name:
            how = ("lvextend",) if size > source.size else ("lvreduce", "--force")
            await self._group.change(*how, "--size", f"{size}b", self._group.of(made))
            await self._group.rename(made, name)
        progress(1.0)

    async def image(self, name: str, size: int, image_size: int, convert: Convert) -> None:  # noqa: ARG002
        part = f"{name}.part"
        await self.blank(part, size)
        await convert(self._group.device(part), True)
        await self._group.rename(part, name)

    async def grow(self, volume: LogicalVolume, size: int) -> None:
        if volume.size < size:
            await self._group.change("lvextend", "--size", f"{size}b", self._group.of(volume.name))

    async def remove(self, volume: LogicalVolume) -> None:
        await self._group.remove(volume.name)

    def why_not(self, volume: LogicalVolume) -> str | None:
        return None if volume.pool == self._pool else f"It is not in the thin pool '{self._pool}'."

    async def _found(self) -> LogicalVolume:
        pool = (await self._group.volumes(self._pool)).get(self._pool)
        if pool is None or not pool.is_thin_pool:
            raise Misconfigured(f"'{self._group.of(self._pool)}' is no thin pool; name another in 'thin_pool'.")
        return pool

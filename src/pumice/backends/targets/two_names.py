"""Any target, with a second name for each volume: what moves while it is used is exported twice for a while.

A daemon knows an export by its volume. The new disk of a volume that is moved to another pool has the volume's
id as well, and may be exported by the same daemon as the old one. Which of the two a grant is for its account
says: whose user name ends in ``.2`` is let in at the second name, which is the volume's id as a UUID of version
8. So nothing has to be remembered, and shutting out needs an account's name alone, as ever. When the volume is
moved again, the first name is free.
"""

from collections.abc import Mapping
from typing import Any

from pumice.backends.targets.contract import Grant, Target
from pumice.model.export import Device, Export
from pumice.model.ids import VolumeId

SECOND = ".2"
_VERSION = 14  # where a UUID has the digit of its version


def ends_unlike(username: str | None) -> str:
    """How the name of an account ends that is let in where ``username`` is not."""
    return "" if (username or "").endswith(SECOND) else SECOND


class TwoNames:
    """``inner``, which never hears of two names. What is not here ``inner`` does alone."""

    def __init__(self, inner: Target) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> Export:
        """See ``Target.grant``."""
        return await self._inner.grant(_named(volume, grant), device, grant)

    async def revoke(self, volume: VolumeId, grant: Grant) -> None:
        """See ``Target.revoke``."""
        await self._inner.revoke(_named(volume, grant), grant)

    async def remove(self, volume: VolumeId) -> None:
        """See ``Target.remove``: by both names."""
        for name in (volume, _second(volume)):
            await self._inner.remove(name)

    async def resize(self, volume: VolumeId, device: Device) -> None:
        """See ``Target.resize``: by both names, of which one at most is exported unless the volume moves."""
        for name in (volume, _second(volume)):
            await self._inner.resize(name, device)

    async def exports(self) -> Mapping[VolumeId, frozenset[str]] | None:
        """See ``Target.exports``: by the volumes' own ids."""
        there = await self._inner.exports()
        if there is None:
            return None
        found: dict[VolumeId, frozenset[str]] = {}
        for name, users in there.items():
            volume = _own(name)
            found[volume] = found.get(volume, frozenset()) | users
        return found


def _named(volume: VolumeId, grant: Grant) -> VolumeId:
    return _second(volume) if grant.username.endswith(SECOND) else volume


def _second(volume: VolumeId) -> VolumeId:
    return _as_version(volume, "8")


def _own(name: VolumeId) -> VolumeId:
    return _as_version(name, "4") if name[_VERSION : _VERSION + 1] == "8" else name


def _as_version(name: VolumeId, version: str) -> VolumeId:
    return VolumeId(f"{name[:_VERSION]}{version}{name[_VERSION + 1 :]}")

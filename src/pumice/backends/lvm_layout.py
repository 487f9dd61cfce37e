"""The two ways to lay volumes out in a volume group, thin and thick, have this in common."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pumice.backends.contract import Progress
from pumice.backends.lvm_group import LogicalVolume

Convert = Callable[[Path, bool], Awaitable[None]]
"""Writes an image to a device; told whether the device reads as zeroes already."""


@dataclass(frozen=True, slots=True)
class Space:
    """The size and the free space of a pool, in GiB."""

    total: float
    free: float
    capabilities: dict[str, object] = field(default_factory=dict)


class Layout(Protocol):
    """Sizes in bytes.

    What is made gets its name when it is complete. Until then it is called ``NAME.part``, and a moment of a
    volume in use that is being copied is ``NAME.moment``; whoever calls has removed what an earlier call left
    of them.
    """

    thin: bool

    async def start(self) -> None:
        """Check, and make what is missing."""

    async def space(self) -> Space:
        """Ask the volume group for the pool's space now."""

    async def blank(self, name: str, size: int) -> None:
        """A volume that reads as zeroes."""

    async def copy(self, name: str, source: LogicalVolume, size: int, progress: Progress) -> None:
        """A volume with the bytes that ``source`` has at this moment, or as many of them as ``size`` holds."""

    async def image(self, name: str, size: int, image_size: int, convert: Convert) -> None:
        """A volume with an image's bytes, and zeroes after them."""

    async def grow(self, volume: LogicalVolume, size: int) -> None:
        """Make a volume larger; what is added reads as zeroes. One that is as large already is left alone."""

    async def remove(self, volume: LogicalVolume) -> None:
        """Free a finished volume for good. One whose removal was cut short is called ``NAME.gone``."""

    def why_not(self, volume: LogicalVolume) -> str | None:
        """Why a logical volume that somebody else made cannot be one of these; None when it can."""

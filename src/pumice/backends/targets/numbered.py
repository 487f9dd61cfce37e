"""A volume's targets where it may need several: ``<prefix>:volume-<id>``, then the same with ``.1``, ``.2``…

One with a number is there as long as one with a higher number is, so a volume's are found by counting up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, takewhile

from pumice.model.ids import VolumeId


@dataclass(frozen=True, slots=True)
class Numbered:
    """The names that begin with ``prefix``, an IQN's or NQN's first part."""

    prefix: str

    def name(self, volume: VolumeId, number: int) -> str:
        """The target with this number; the first is 0."""
        return f"{self.prefix}:volume-{volume}{f'.{number}' if number else ''}"

    def volume(self, name: str) -> VolumeId | None:
        """Whose target it is; None for a foreign one."""
        ours = f"{self.prefix}:volume-"
        return VolumeId(name.removeprefix(ours).partition(".")[0]) if name.startswith(ours) else None

    def found(self, volume: VolumeId, exists: Callable[[str], bool]) -> list[str]:
        """The volume's targets that are there."""
        return list(takewhile(exists, (self.name(volume, number) for number in count())))

    def choose(self, volume: VolumeId, wished: str, taken: Sequence[bool]) -> int:
        """The number for a new grant: that of ``wished`` unless it is taken, or else the first that is free.

        ``taken``: of each of the volume's targets that are there, whether it is.
        """
        number = self._number(volume, wished)
        if number is not None and not any(taken[number : number + 1]):
            return number
        return [*taken, False].index(False)

    def _number(self, volume: VolumeId, name: str) -> int | None:
        first = self.name(volume, 0)
        last = "0" if name == first else name.removeprefix(f"{first}.")
        return int(last) if last.isdecimal() else None

"""Drivers by name: a table of our own, and entry points of the packages that are installed here."""

from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pumice.model.errors import Misconfigured

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes of one kind. ``ours`` are ``name="module:Class"``; no package replaces one of them."""

    def __init__(self, group: str, **ours: str) -> None:
        """``group`` is that of the entry points, as packages name it."""
        self.group = group
        self._ours = {name: EntryPoint(name, value, group) for name, value in ours.items()}

    @cached_property
    def every(self) -> dict[str, type[T]]:
        """The drivers that can be imported, by name."""
        return {name: found for name, found in self._loaded.items() if isinstance(found, type)}

    @cached_property
    def brought(self) -> dict[str, type[T]]:
        """The drivers that other packages brought."""
        return {name: found for name, found in self.every.items() if name not in self._ours}

    @cached_property
    def _loaded(self) -> dict[str, type[T] | Exception]:
        """Each, or why it cannot be imported: a broken package is told of where it is chosen."""
        found = {point.name: point for point in entry_points(group=self.group)} | self._ours
        return {name: _load(point) for name, point in found.items()}

    def find(self, name: str) -> type[T]:
        """Raises ``Misconfigured`` in a sentence when there is none, or when it cannot be imported."""
        found = self._loaded.get(name)
        if isinstance(found, type):
            return found
        if found:
            raise Misconfigured(f"The driver '{name}' of an installed package cannot be used: {found}.")
        close = get_close_matches(name, self.every, 1)
        hint = f"Did you mean '{close[0]}'?" if close else f"There are {', '.join(sorted(self.every))}."
        raise Misconfigured(f"There is no driver '{name}'. {hint}")


def _load(point: EntryPoint) -> Any:
    try:
        found = point.load()
    except Exception as error:  # whatever a package raises when it is imported
        return error
    return found if isinstance(found, type) else TypeError(f"{point.value} is no class")

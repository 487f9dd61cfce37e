"""What a pool is wanted for."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """A volume that needs a pool. ``size`` in GiB."""

    size: int
    availability_zone: str
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    """The volume type's."""
    only_host: str | None = None
    """The bytes to begin with are there (``host@backend``)."""
    left_out: frozenset[str] = frozenset()
    """Pools that were tried already."""
    near: frozenset[str] = frozenset()
    """Backends of which it shall be on one (the hint ``same_host``); any when there are none."""
    apart: frozenset[str] = frozenset()
    """Backends of which it shall be on none (the hint ``different_host``)."""

    def capabilities(self) -> Mapping[str, str]:
        """The extra specs that speak of a pool's capabilities, by the names that pools use."""
        scoped = {key: key.partition(":") for key in self.extra_specs}
        return {
            (rest if colon else key): self.extra_specs[key]
            for key, (scope, colon, rest) in scoped.items()
            if not colon or scope == "capabilities"
        }

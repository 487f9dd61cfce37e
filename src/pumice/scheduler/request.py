"""The request that a pool is chosen for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Request:
    """A volume that needs a pool. ``size`` in GiB."""

    size: int
    availability_zone: str
    """The zone it shall be in, unless ``zones`` leaves a choice."""
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    """The volume type's."""
    only_host: str | None = None
    """The bytes to begin with are there (``host@backend``)."""
    left_out: frozenset[str] = frozenset()
    """Pools that were tried already."""
    near: frozenset[str] = frozenset()
    """Backends one of which it shall be on (the hint ``same_host``); any when there are none."""
    apart: frozenset[str] = frozenset()
    """Backends none of which it shall be on (the hint ``different_host``)."""

    zones: frozenset[str] = frozenset()
    """Zones of which it may be in any (the type's ``RESKEY:availability_zones``)."""
    beside: str | None = None
    """The host of the server that the hint ``local_to_instance`` names; empty when there is no such server."""
    reached_from: frozenset[str] | None = None
    """The hosts that may run the server that it is made for; None where it is made for none."""
    query: str | None = None
    """The hint ``query``: a condition in JSON."""

    @cached_property
    def capabilities(self) -> Mapping[str, str]:
        """The extra specs that speak of a pool's capabilities, by the names that pools use."""
        scoped = {key: key.partition(":") for key in self.extra_specs}
        return {
            (rest if colon else key): self.extra_specs[key]
            for key, (scope, colon, rest) in scoped.items()
            if not colon or scope == "capabilities"
        }

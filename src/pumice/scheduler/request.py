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

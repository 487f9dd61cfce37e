"""The choices of an operator that decide what is allowed and how things are chosen.

Plain values with their defaults: ``app/settings.py`` reads them from the settings file, tests write them down.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

UNLIMITED = -1
TYPED = ("volumes", "gigabytes", "snapshots")
"""The resources that every volume type has of its own, with its name behind: ``volumes_fast``."""

DEFAULT_FILTERS = (
    *("AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter", "DriverFilter"),
    *("SameBackendFilter", "DifferentBackendFilter", "InstanceLocalityFilter"),
)
"""Cinder's three, and those that have nothing to do until a backend or a hint asks for them.

``JsonFilter`` is not among them: by its answers a tenant may learn what is an operator's to know of backends.
"""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How trouble is met: with another try, after a while that doubles."""

    first: float = 0.2
    """Seconds until the second try."""
    longest: float = 30.0
    """The most seconds between two tries."""
    tries: int | None = None
    """How often a step is tried; as each step says when None."""
    cleaning: float = 300.0
    """The most seconds between two tries of what nobody waits for: an undo after its failure was told."""

    def before(self, tries: int, *, cleaning: bool = False, longest: float | None = None) -> float:
        """Seconds until the next one after so many: a little uneven, so that not all come back at once.

        ``longest`` is the most of them where that is not as for all.
        """
        longest = longest or (self.cleaning if cleaning else self.longest)
        return min(self.first * 2.0 ** min(tries - 1, 30), longest) * random.uniform(0.75, 1.0)  # noqa: S311


@dataclass(frozen=True, slots=True)
class Tunables:
    """The settings that apply in the whole installation."""

    availability_zone: str = "nova"
    """The zone of what names none (Cinder's ``default_availability_zone``)."""
    default_volume_type: str = "__DEFAULT__"
    quotas: Mapping[str, int] = field(
        default_factory=lambda: MappingProxyType(
            {"volumes": 10, "gigabytes": 1000, "snapshots": 10, "per_volume_gigabytes": UNLIMITED}
            | {"backups": 10, "backup_gigabytes": 1000, "groups": 10}
        )
    )
    """A project's limits where it has none of its own; -1 is no limit (Cinder's ``quota_*``)."""
    filters: Sequence[str] = DEFAULT_FILTERS
    """Which pools may be chosen (Cinder's ``scheduler_default_filters``): names in ``scheduler/filters.py``."""
    weighers: Sequence[str] = ("CapacityWeigher",)
    """Which of them is best (Cinder's ``scheduler_default_weighers``): names in ``scheduler/weighers.py``."""
    weight_handler: str = "OrderedHostWeightHandler"
    """The best is chosen, or ``StochasticHostWeightHandler``: one by chance, a better one more often."""
    capacity_weight_multiplier: float = 1.0
    """Positive: spread over free space. Negative: stack."""
    allocated_capacity_weight_multiplier: float = -1.0
    """Negative: prefer the pool with the least claimed. Positive: stack."""
    volume_number_multiplier: float = -1.0
    """Negative: prefer the pool with the fewest volumes. Positive: stack."""
    scheduler_max_attempts: int = 3
    """How many pools a create tries in all (Cinder's setting of the same name)."""
    image_cache: bool = False
    """Whether pools keep bases of images."""
    image_cache_gigabytes: int = 200
    """The most GiB of bases in one pool."""
    image_cache_images: int = 50
    """The most bases in one pool."""
    catalog_aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Types under which the catalog names services a second time, and the types that these have."""
    abandoned_seconds: float = 3600.0
    """How long a client may leave a volume or an attachment between two calls of its own."""
    service_down_seconds: float = 60.0
    """A service whose last heartbeat is older counts as down (Cinder's ``service_down_time``)."""
    api_max_query_terms: int = 64
    api_max_metadata: int = 262_144
    """The most characters that the metadata of one volume or snapshot grows to."""
    api_max_limit: int = 1000
    """The longest page of a list (Cinder's ``osapi_max_limit``)."""
    api_wait_seconds: float = 60.0
    """How long a request that must answer with a result waits for its operation."""
    api_longest_wait: float = 60.0
    """How long a request waits at most for a thing to change, if its client asks for it (``Prefer: wait``)."""
    api_most_waiting: int = 500
    """How many requests of one process may wait so."""
    api_project_waiting: int = 200
    """How many of one project's."""
    service_token_roles: frozenset[str] = frozenset({"service"})
    """A service token counts if it has one of these roles (keystonemiddleware's setting of the same name)."""
    recycle_days: float = 0.0
    """How long the recycle bin keeps what is deleted, where neither project nor type say; 0: not at all."""
    recycle_counts: bool = False
    """Whether what is there counts for quota."""
    webhooks_per_project: int = 10
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)

"""Filters: may this pool hold the volume? Named after Cinder's, with the same meaning.

Each is a function of a pool and a request. ``FILTERS`` lists them in the order they are asked.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.functions import Malformed, about, evaluate
from pumice.scheduler.query import holds
from pumice.scheduler.request import Request
from pumice.scheduler.specs import matches

Filter = Callable[[Pool, Request], bool]


def availability_zone(pool: Pool, request: Request) -> bool:
    """The pool is in the zone asked for, or in one of those that the type allows."""
    return pool.availability_zone in (request.zones or (request.availability_zone,))


def capacity(pool: Pool, request: Request) -> bool:
    """The pool has room: really, for a thick one; on paper and not absurdly little really, for a thin one.

    The rule of Cinder's CapacityFilter. What is claimed counts at once; what a backend says of its free space
    is only as fresh as its last report.
    """
    if math.isinf(pool.total_gb) or math.isinf(pool.free_gb):
        return True
    if pool.total_gb <= 0:
        return False
    reserved = math.floor(pool.total_gb * pool.reserved_percentage / 100)
    free = pool.free_gb - reserved
    if not pool.thin:
        return min(free, pool.total_gb - reserved - pool.claimed_gb) >= request.size
    ratio = max(pool.max_over_subscription_ratio, 1.0)
    if (pool.claimed_gb + request.size) / (pool.total_gb - reserved or 1) > ratio:
        return False
    return free * ratio >= request.size


def reported(pool: Pool) -> Mapping[str, Any]:
    """What a pool says that it can do, by the names that extra specs use."""
    return {"thin_provisioning_support": pool.thin, **pool.capabilities}


def capabilities(pool: Pool, request: Request) -> bool:
    """Every extra spec of the type that speaks of capabilities is met by what the pool reports."""
    if not request.capabilities:
        return True
    has = reported(pool)
    return all(met(has, name, wanted) for name, wanted in request.capabilities.items())


def met(has: Mapping[str, Any], name: str, wanted: str) -> bool:
    """One extra spec is met: ``a:b`` by what is under ``b`` in ``a``, and a list by any of its values."""
    value: Any = has
    for part in name.split(":"):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return any(matches(str(one), wanted) for one in (value if isinstance(value, list) else [value]))


def driver(pool: Pool, request: Request) -> bool:
    """The pool's ``filter_function`` says yes, where it has one. One that makes no sense says no."""
    expression = pool.capabilities.get("filter_function")
    if not expression:
        return True
    try:
        return bool(evaluate(str(expression), about(pool, request)))
    except Malformed:
        return False


def not_tried(pool: Pool, request: Request) -> bool:
    """The pool did not fail this request before."""
    return pool.name not in request.left_out


def same_backend(pool: Pool, request: Request) -> bool:
    """The pool is where the bytes to begin with are."""
    return request.only_host is None or pool.host == request.only_host


def near(pool: Pool, request: Request) -> bool:
    """The pool is on a backend of one of the volumes that the hint ``same_host`` names."""
    return not request.near or pool.host in request.near


def apart(pool: Pool, request: Request) -> bool:
    """The pool is on no backend of the volumes that the hint ``different_host`` names."""
    return pool.host not in request.apart


def beside(pool: Pool, request: Request) -> bool:
    """The pool is of the host where the server runs that the hint ``local_to_instance`` names."""
    return request.beside is None or pool.host.partition("@")[0] == request.beside


def within_reach(pool: Pool, request: Request) -> bool:
    """Some host that may run the server reaches the pool's volumes: its own alone, or any."""
    if request.reached_from is None or pool.reached_from is None:
        return True
    return pool.reached_from in request.reached_from


def query(pool: Pool, request: Request) -> bool:
    """What the hint ``query`` says of the pool is so. One that makes no sense is so of none."""
    if not request.query:
        return True
    try:
        return holds(request.query, about(pool, request)["stats"])
    except Malformed:
        return False


FILTERS: Mapping[str, Filter] = MappingProxyType(
    {
        "AvailabilityZoneFilter": availability_zone,
        "SameBackend": same_backend,
        "SameBackendFilter": near,
        "DifferentBackendFilter": apart,
        "InstanceLocalityFilter": beside,
        "WithinReach": within_reach,
        "IgnoreAttempted": not_tried,
        "CapacityFilter": capacity,
        "CapabilitiesFilter": capabilities,
        "DriverFilter": driver,
        "JsonFilter": query,
    }
)
ALWAYS = frozenset({"SameBackend", "WithinReach", "IgnoreAttempted"})
"""What no setting turns off: bytes are copied within their backend, a server's host must reach its volumes,
and no pool is tried twice."""


def in_use(tunables: Tunables) -> Mapping[str, Filter]:
    """The filters that are asked: those of the setting, and ``ALWAYS``."""
    return {name: passes for name, passes in FILTERS.items() if name in ALWAYS or name in tunables.filters}

"""Weighers: which of the pools that can hold the volume is best?

Each gives every pool a raw weight; weights are scaled to 0…1 over the pools at hand, multiplied and added, so
that no weigher outvotes another by its units (as in the incumbent's weight handler).
"""

import math
from collections.abc import Callable, Sequence

from pumice.model.rules import Rules
from pumice.model.volume import Pool
from pumice.scheduler.functions import Malformed, about, evaluate
from pumice.scheduler.request import Request

Weigher = Callable[[Pool, Request], float]


def capacity(pool: Pool, _: Request) -> float:
    """Free space: what is virtually left in a thin pool, what is really left in a thick one. GiB."""
    reserved = math.floor(pool.total_gb * pool.reserved_percentage / 100) if math.isfinite(pool.total_gb) else 0
    if pool.thin:
        return pool.total_gb * max(pool.max_over_subscription_ratio, 1.0) - pool.claimed_gb - reserved
    return min(pool.free_gb, pool.total_gb - pool.claimed_gb) - reserved


def allocated_capacity(pool: Pool, _: Request) -> float:
    """Space claimed by volumes. GiB."""
    return float(pool.claimed_gb)


def goodness(pool: Pool, request: Request) -> float:
    """What the pool's ``goodness_function`` says, 0 to 100; 0 where it has none or one that makes no sense."""
    try:
        value = evaluate(str(pool.capabilities.get("goodness_function") or 0), about(pool, request))
    except Malformed:
        return 0.0
    return float(value) if not isinstance(value, str) and 0 <= value <= 100 else 0.0


def order(pools: Sequence[Pool], request: Request, rules: Rules) -> list[Pool]:
    """The best pool first; of equals the one with fewer volumes, then by name."""
    weights = {pool.name: 0.0 for pool in pools}
    for weigher, multiplier in (
        (capacity, rules.capacity_weight_multiplier),
        (allocated_capacity, rules.allocated_capacity_weight_multiplier),
        (goodness, rules.goodness_weight_multiplier),
    ):
        if multiplier:
            for pool, weight in zip(pools, _scaled([weigher(pool, request) for pool in pools]), strict=True):
                weights[pool.name] += multiplier * weight
    return sorted(pools, key=lambda pool: (-weights[pool.name], pool.volumes, pool.name))


def _scaled(raw: Sequence[float]) -> list[float]:
    """Raw weights on a scale from 0 (the least) to 1 (the most). Infinities count as the most."""
    finite = [weight for weight in raw if math.isfinite(weight)]
    if not finite or len(finite) < len(raw):
        return [0.0 if math.isfinite(weight) else 1.0 for weight in raw]
    least, most = min(finite), max(finite)
    if most == least:
        return [0.0 for _ in raw]
    return [(weight - least) / (most - least) for weight in raw]

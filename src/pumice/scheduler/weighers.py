"""Weighers: which of the pools that can hold the volume is best?

Each gives every pool a raw weight; weights are scaled to 0…1 over the pools at hand, multiplied and added, so
that no weigher outvotes another by its units (as in Cinder's weight handler).
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.functions import Malformed, about, evaluate
from pumice.scheduler.request import Request

Weigher = Callable[[Pool, Request], float]


def capacity(pool: Pool, _: Request) -> float:
    """Free space: what is virtually left in a thin pool, what is really left in a thick one. GiB.

    ``store/pools.py`` has the same sum in SQL.
    """
    reserved = pool.total_gb * pool.reserved_percentage / 100 if math.isfinite(pool.total_gb) else 0
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


def volume_number(pool: Pool, _: Request) -> float:
    """How many volumes it has."""
    return float(pool.volumes)


def chance(_pool: Pool, _request: Request) -> float:
    """Anything: equals are chosen among at random."""
    return random.random()  # noqa: S311


WEIGHERS: Mapping[str, Weigher] = MappingProxyType(
    {
        "CapacityWeigher": capacity,
        "AllocatedCapacityWeigher": allocated_capacity,
        "GoodnessWeigher": goodness,
        "VolumeNumberWeigher": volume_number,
        "ChanceWeigher": chance,
    }
)
STOCHASTIC = "StochasticHostWeightHandler"
HANDLERS = ("OrderedHostWeightHandler", STOCHASTIC)


def by_free_space_alone(tunables: Tunables) -> bool:
    """Whether the pool with the most free space is the best, whatever else there is."""
    return (
        tuple(tunables.weighers) == ("CapacityWeigher",)
        and tunables.capacity_weight_multiplier > 0
        and tunables.weight_handler != STOCHASTIC
    )


def best(pools: Sequence[Pool], request: Request, tunables: Tunables) -> Pool:
    """The best of at least one pool; by the stochastic handler one that is drawn, by its weight."""
    if tunables.weight_handler != STOCHASTIC:
        return order(pools, request, tunables)[0]
    weights = [max(weight, 0.0) for weight in _weights(pools, request, tunables, lambda raw: raw)]
    if math.inf in weights:  # among those without an end all are equal, and no other is drawn
        weights = [float(weight == math.inf) for weight in weights]
    return random.choices(pools, weights if sum(weights) else None)[0]  # noqa: S311


def order(pools: Sequence[Pool], request: Request, tunables: Tunables) -> list[Pool]:
    """The best pool first; of equals the one with fewer volumes, then by name."""
    weights = zip(pools, _weights(pools, request, tunables, _scaled), strict=True)
    return [pool for pool, _ in sorted(weights, key=lambda it: rank(*it))]


def rank(pool: Pool, weight: float) -> tuple[float, int, str]:
    """What pools are sorted by."""
    return -weight, pool.volumes, pool.name


def _weights(
    pools: Sequence[Pool],
    request: Request,
    tunables: Tunables,
    scaled: Callable[[Sequence[float]], Sequence[float]],
) -> list[float]:
    """What the weighers of the setting give each pool, added."""
    given = [[0.0] * len(pools), *(weights for _, weights in shares(pools, request, tunables, scaled))]
    return [sum(each) for each in zip(*given, strict=True)]


def shares(
    pools: Sequence[Pool],
    request: Request,
    tunables: Tunables,
    scaled: Callable[[Sequence[float]], Sequence[float]] | None = None,
) -> list[tuple[str, Sequence[float]]]:
    """What each weigher of the setting gives each pool, times its multiplier; scaled as ``order`` has it."""
    multipliers = {
        "CapacityWeigher": tunables.capacity_weight_multiplier,
        "AllocatedCapacityWeigher": tunables.allocated_capacity_weight_multiplier,
        "VolumeNumberWeigher": tunables.volume_number_multiplier,
    }
    found: list[tuple[str, Sequence[float]]] = []
    for name in tunables.weighers:
        weights = (scaled or _scaled)([WEIGHERS[name](pool, request) for pool in pools])
        found.append((name, [multipliers.get(name, 1.0) * weight for weight in weights]))
    return found


def _scaled(raw: Sequence[float]) -> list[float]:
    """Raw weights on a scale from 0 (the least) to 1 (the most). Infinities count as the most."""
    finite = [weight for weight in raw if math.isfinite(weight)]
    if not finite or len(finite) < len(raw):
        return [0.0 if math.isfinite(weight) else 1.0 for weight in raw]
    least, most = min(finite), max(finite)
    if most == least:
        return [0.0 for _ in raw]
    return [(weight - least) / (most - least) for weight in raw]

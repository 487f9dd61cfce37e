"""Choose a pool: the best of those that pass every filter, or an explanation of why none does."""

from collections.abc import Sequence

from pumice.model.errors import NoValidBackend
from pumice.model.rules import Rules
from pumice.model.volume import Pool
from pumice.scheduler.filters import FILTERS
from pumice.scheduler.request import Request
from pumice.scheduler.weighers import order


def choose(pools: Sequence[Pool], request: Request, rules: Rules) -> Pool:
    """The pool for ``request``. Raises ``NoValidBackend`` naming the filter that left none."""
    if not pools:
        raise NoValidBackend("No valid backend was found: no volume service is up.")
    left = list(pools)
    for name, passes in FILTERS.items():
        before, left = left, [pool for pool in left if passes(pool, request)]
        if not left:
            raise NoValidBackend(
                f"No valid backend was found: {name} left none of {len(before)} pool(s) for "
                f"{request.size} GiB in zone {request.availability_zone}."
            )
    return order(left, request, rules)[0]

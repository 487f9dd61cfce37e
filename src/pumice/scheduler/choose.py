"""Choose a pool: the best of those that pass every filter, or an explanation of why none does."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pumice.model.errors import NoValidBackend
from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.filters import in_use, met, reported
from pumice.scheduler.request import Request
from pumice.scheduler.weighers import best

MOST_TOLD = 10
"""Pools that an explanation tells of one by one."""


def choose(pools: Sequence[Pool], request: Request, tunables: Tunables) -> Pool:
    """The pool for ``request``, of at least one. Raises ``NoValidBackend``.

    Its message tells a tenant what was asked for in vain; its detail tells an operator which filter left none,
    and what each pool has.
    """
    left = list(pools)
    for name, passes in in_use(tunables).items():
        before, left = left, [pool for pool in left if passes(pool, request)]
        if not left:
            in_vain, figures = WORDS[name]
            told = "; ".join(f"{pool.name}: {figures(pool, request)}" for pool in before[:MOST_TOLD])
            raise NoValidBackend(
                f"No valid backend was found: {in_vain(request)}.",
                f"{name} left none of {len(before)} pool(s): {told}",
            )
    return best(left, request, tunables)


def passing(pools: Sequence[Pool], request: Request, tunables: Tunables) -> list[Pool]:
    """The pools that pass every filter."""
    filters = in_use(tunables).values()
    return [pool for pool in pools if all(passes(pool, request) for passes in filters)]


def choose_among_the_roomiest(pools: Sequence[Pool], request: Request, tunables: Tunables) -> Pool | None:
    """The pool for ``request`` if one of these will do: of all that there are, those with the most free space.

    Only where free space alone decides what is best: then what was not looked at cannot be better.
    """
    left = passing(pools, request, tunables)
    return best(left, request, tunables) if left else None


def _room(pool: Pool, _request: Request) -> str:
    kind = f"thin, over-subscribed {pool.max_over_subscription_ratio:g} times" if pool.thin else "thick"
    return (
        f"{pool.free_gb:g} of {pool.total_gb:g} GiB are free, {pool.claimed_gb} claimed, "
        f"{pool.reserved_percentage} % reserved ({kind})"
    )


def _unmet(pool: Pool, request: Request) -> str:
    has = reported(pool)
    return ", ".join(
        f"'{name}' is {has.get(name, 'not reported')}, and '{wanted}' is asked for"
        for name, wanted in request.capabilities.items()
        if not met(has, name, wanted)
    )


WORDS: Mapping[str, tuple[Callable[[Request], str], Callable[[Pool, Request], str]]] = MappingProxyType(
    {
        "AvailabilityZoneFilter": (
            lambda request: (
                "no pool is in the availability zone "
                + " or ".join(sorted(request.zones) or [request.availability_zone])
            ),
            lambda pool, _: f"it is in {pool.availability_zone}",
        ),
        "SameBackend": (
            lambda _: "the backend that holds what it is made of is down or disabled",
            lambda _, request: f"it is not on {request.only_host}",
        ),
        "SameBackendFilter": (
            lambda _: "no pool is where the hint 'same_host' asks for it",
            lambda _, request: f"it is on none of {', '.join(sorted(request.near))}",
        ),
        "DifferentBackendFilter": (
            lambda _: "every pool is where the hint 'different_host' asks it not to be",
            lambda pool, _: f"it is on {pool.host}",
        ),
        "InstanceLocalityFilter": (
            lambda _: "no pool is on the host of the server that the hint 'local_to_instance' names",
            lambda _, request: f"it is not on {request.beside or 'any: there is no such server'}",
        ),
        "WithinReach": (
            lambda _: "no host that may run the server reaches a pool for it",
            lambda pool, request: (
                f"servers of {pool.reached_from} alone reach it, and the server may run on "
                f"{', '.join(sorted(request.reached_from or ())) or 'no host'}"
            ),
        ),
        "IgnoreAttempted": (
            lambda _: "every pool that suits it was tried, and failed",
            lambda *_: "it was tried",
        ),
        "CapacityFilter": (lambda request: f"no pool has room for {request.size} GiB", _room),
        "CapabilitiesFilter": (lambda _: "no pool offers what its volume type asks for", _unmet),
        "DriverFilter": (
            lambda _: "no backend takes such a volume",
            lambda pool, _: f"filter_function is {pool.capabilities.get('filter_function')}",
        ),
        "JsonFilter": (
            lambda _: "the hint 'query' holds for no pool",
            lambda _, request: f"query is {request.query}",
        ),
    }
)
"""For each filter, what was asked for in vain, and what a pool has of it."""

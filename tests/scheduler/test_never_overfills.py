"""What holds for any pools, any requests and any order of claims and releases."""

from contextlib import suppress
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from pools import ZONE, a_pool, a_request

from pumice.model.errors import NoValidBackend
from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.choose import choose
from pumice.scheduler.filters import FILTERS
from pumice.scheduler.request import Request

gigabytes = st.floats(0, 200) | st.just(float("inf"))
some_pools = st.lists(
    st.builds(
        a_pool,
        st.sampled_from(["here@one#a", "here@one#b", "here@two#c", "there@one#d"]),
        availability_zone=st.sampled_from([ZONE, "east"]),
        total_gb=gigabytes,
        free_gb=gigabytes,
        claimed_gb=st.integers(0, 300),
        volumes=st.integers(0, 20),
        thin=st.booleans(),
        max_over_subscription_ratio=st.floats(0.1, 30),
        reserved_percentage=st.integers(0, 100),
        capabilities=st.dictionaries(st.sampled_from(["media", "iops"]), st.sampled_from(["ssd", 100])),
    ),
    unique_by=lambda pool: pool.name,
)
requests = st.builds(
    a_request,
    st.integers(1, 100),
    extra_specs=st.dictionaries(st.sampled_from(["media", "iops"]), st.sampled_from(["ssd", ">= 50"])),
    only_host=st.none() | st.sampled_from(["here@one", "there@one"]),
    left_out=st.frozensets(st.sampled_from(["here@one#a", "here@two#c"])),
)
multipliers = st.floats(-3, 3)
tunables = st.builds(
    Tunables, capacity_weight_multiplier=multipliers, allocated_capacity_weight_multiplier=multipliers
)


@given(some_pools, requests, tunables)
def test_a_pool_that_a_filter_refuses_is_never_chosen(
    pools: list[Pool], request: Request, by: Tunables
) -> None:
    passing = [pool for pool in pools if all(passes(pool, request) for passes in FILTERS.values())]
    try:
        assert choose(pools, request, by) in passing
    except NoValidBackend:
        assert not passing


@given(some_pools, requests, tunables, st.randoms(use_true_random=False))
def test_the_order_in_which_pools_are_read_does_not_matter(
    pools: list[Pool], request: Request, by: Tunables, random: Random
) -> None:
    shuffled = list(pools)
    random.shuffle(shuffled)
    with suppress(NoValidBackend):
        assert choose(shuffled, request, by) == choose(pools, request, by)


small_pools = st.lists(
    st.builds(
        a_pool,
        st.sampled_from(["a", "b", "c"]),
        total_gb=st.floats(0, 30),
        free_gb=st.floats(0, 30),
        thin=st.booleans(),
        max_over_subscription_ratio=st.floats(1, 4),
        reserved_percentage=st.integers(0, 100),
    ),
    min_size=1,
    unique_by=lambda pool: pool.name,
)
claims_and_releases = st.lists(st.integers(1, 20) | st.integers(-5, -1), max_size=30)
"""Positive: a volume of so many GiB. Negative: delete the volume so many places back."""


@given(small_pools, claims_and_releases, tunables)
def test_claims_stay_within_what_a_pool_may_hold_in_any_order_of_claims_and_releases(
    pools: list[Pool], moves: list[int], by: Tunables
) -> None:
    known = {pool.name: pool for pool in pools}
    made: list[tuple[str, int]] = []

    def claim(name: str, size: int) -> None:
        known[name] = replace(known[name], claimed_gb=known[name].claimed_gb + size)

    for move in moves:
        if move < 0 and len(made) >= -move:
            name, size = made.pop(move)
            claim(name, -size)
        elif move > 0:
            with suppress(NoValidBackend):
                name = choose(list(known.values()), a_request(move), by).name
                made.append((name, move))
                claim(name, move)
        for pool in known.values():
            assert 0 <= pool.claimed_gb <= most(pool)


def most(pool: Pool) -> float:
    """GiB that volumes of this pool may add up to."""
    ratio = pool.max_over_subscription_ratio if pool.thin else 1.0
    return (pool.total_gb - pool.total_gb * pool.reserved_percentage // 100) * ratio + 1e-9

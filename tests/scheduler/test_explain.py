"""What is explained is what the scheduler does: in any case, the same pool or none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import ZONE, a_pool, a_request
from test_never_overfills import requests, some_pools, tunables

from pumice.model.errors import NoValidBackend
from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.choose import WORDS, choose
from pumice.scheduler.explain import _ADVICE, explain, largest
from pumice.scheduler.filters import FILTERS
from pumice.scheduler.request import Request
from pumice.scheduler.weighers import STOCHASTIC

weighed = st.lists(
    st.sampled_from(["CapacityWeigher", "AllocatedCapacityWeigher", "VolumeNumberWeigher", "GoodnessWeigher"]),
    max_size=3,
    unique=True,
)


@given(some_pools, requests, tunables, weighed)
@settings(deadline=None)
def test_the_winner_is_the_pool_that_is_chosen(
    pools: list[Pool], request: Request, by: Tunables, weighers: list[str]
) -> None:
    agree(pools, request, by, weighers)


@pytest.mark.long
@pytest.mark.timeout(1800)
@given(some_pools, requests, tunables, weighed)
@settings(deadline=None, max_examples=10_000)
def test_the_winner_is_the_pool_that_is_chosen_in_ten_thousand_cases(
    pools: list[Pool], request: Request, by: Tunables, weighers: list[str]
) -> None:
    agree(pools, request, by, weighers)


def agree(pools: list[Pool], request: Request, by: Tunables, weighers: list[str]) -> None:
    by = Tunables(
        weighers=weighers,
        capacity_weight_multiplier=by.capacity_weight_multiplier,
        allocated_capacity_weight_multiplier=by.allocated_capacity_weight_multiplier,
    )
    told = explain(pools, request, by)
    try:
        chosen = choose(pools, request, by) if pools else None
    except NoValidBackend:
        chosen = None
    assert told.winner == chosen
    assert {one.pool.name for one in told.looked} == {pool.name for pool in pools}
    assert not told.advice or chosen is None
    if pools and chosen is None:
        assert told.advice


@given(some_pools, requests)
@settings(deadline=None)
def test_one_that_is_drawn_is_among_those_that_fit(pools: list[Pool], request: Request) -> None:
    by = Tunables(weight_handler=STOCHASTIC)
    told = explain(pools, request, by)
    fit = [one.pool for one in told.looked if one.fits]
    assert told.drawn
    if fit:
        assert choose(pools, request, by) in fit


@given(some_pools, requests)
@settings(deadline=None)
def test_a_smaller_volume_that_is_advised_has_room(pools: list[Pool], request: Request) -> None:
    for pool in pools:
        size = largest(pool, request)
        if size and request.size > size:
            assert FILTERS["CapacityFilter"](pool, a_request(size))
            assert not FILTERS["CapacityFilter"](pool, a_request(size + 1))


def test_every_filter_has_advice() -> None:
    assert _ADVICE.keys() == WORDS.keys() == FILTERS.keys()


def test_the_least_change_is_advised() -> None:
    full = a_pool("here@one#full", free_gb=3.0, claimed_gb=97, thin=False)
    east = a_pool("here@one#east", availability_zone="east", free_gb=0.0, thin=False)
    told = explain([full, east], a_request(10), Tunables())
    assert told.advice == ["Ask for at most 3 GiB."]
    told = explain([a_pool("here@one#b", availability_zone="east")], a_request(1), Tunables())
    assert told.advice == ["Ask for the availability zone east."]
    assert told.left()[0] == ("AvailabilityZoneFilter", 0)
    assert ZONE in told.request.availability_zone

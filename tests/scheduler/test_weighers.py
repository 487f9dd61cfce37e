"""Which pool is best: spreading, stacking, and the same answer to the same question."""

from collections import Counter
from typing import Any

import pytest
from pools import a_pool, a_request

from pumice.model.errors import NoValidBackend
from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.choose import choose
from pumice.scheduler.weighers import best, order


def names(pools: list[Pool], **tunables: Any) -> list[str]:
    return [pool.name for pool in order(pools, a_request(), Tunables(**tunables))]


ROOMY = a_pool("roomy", total_gb=100, free_gb=90, claimed_gb=50)
NARROW = a_pool("narrow", total_gb=50, free_gb=40, claimed_gb=10)


def test_volumes_are_spread_over_free_space() -> None:
    assert names([NARROW, ROOMY]) == ["roomy", "narrow"]


def test_a_negative_multiplier_stacks() -> None:
    assert names([NARROW, ROOMY], capacity_weight_multiplier=-1.0) == ["narrow", "roomy"]


def test_a_thin_pool_weighs_what_it_may_still_promise() -> None:
    promising = a_pool("promising", total_gb=10, free_gb=10, max_over_subscription_ratio=20)
    honest = a_pool("honest", total_gb=100, free_gb=100, max_over_subscription_ratio=1)
    assert names([honest, promising]) == ["promising", "honest"]


def test_what_is_reserved_has_no_weight() -> None:
    kept = a_pool("kept", thin=False, reserved_percentage=50)
    assert names([kept, a_pool("small", thin=False, total_gb=60, free_gb=60)]) == ["small", "kept"]


def test_a_thick_pool_weighs_what_is_really_left() -> None:
    crowded = a_pool("crowded", thin=False, total_gb=200, free_gb=10)
    assert names([crowded, a_pool("empty", thin=False)]) == ["empty", "crowded"]


def test_the_pool_with_the_least_claimed_is_preferred_by_a_negative_multiplier() -> None:
    tunables = {"weighers": ["AllocatedCapacityWeigher"]}
    assert names([ROOMY, NARROW], **tunables) == ["narrow", "roomy"]


def test_the_pool_with_the_most_claimed_is_preferred_by_a_positive_multiplier() -> None:
    tunables = {"weighers": ["AllocatedCapacityWeigher"], "allocated_capacity_weight_multiplier": 1.0}
    assert names([NARROW, ROOMY], **tunables) == ["roomy", "narrow"]


def test_no_weigher_outvotes_another_by_its_units() -> None:
    """Free space differs by thousands, claims by one: the larger multiplier decides."""
    large = a_pool("large", total_gb=10_000, free_gb=10_000, claimed_gb=11)
    small = a_pool("small", total_gb=10, free_gb=10, claimed_gb=10)
    weighers = ["CapacityWeigher", "AllocatedCapacityWeigher"]
    tunables = {"weighers": weighers, "allocated_capacity_weight_multiplier": -2.0}
    assert names([large, small], **tunables) == ["small", "large"]


def test_an_endless_pool_outweighs_every_other() -> None:
    endless = a_pool("endless", total_gb=float("inf"), free_gb=float("inf"))
    assert names([ROOMY, endless, NARROW])[0] == "endless"


def test_of_equal_pools_the_one_with_fewer_volumes_then_the_first_by_name_is_chosen() -> None:
    b, c, busy = a_pool("b"), a_pool("c"), a_pool("a", volumes=3)
    for asked in ([b, c, busy], [busy, c, b], [c, busy, b]):
        assert names(asked) == ["b", "c", "a"]


def test_equal_pools_are_filled_in_turn() -> None:
    pools = {name: a_pool(name) for name in "abc"}
    chosen = []
    for _ in range(6):
        pool = choose(list(pools.values()), a_request(), Tunables())
        chosen.append(pool.name)
        claimed = {"claimed_gb": pool.claimed_gb + 1, "volumes": pool.volumes + 1}
        pools[pool.name] = a_pool(pool.name, **claimed)
    assert chosen == ["a", "b", "c", "a", "b", "c"]


def test_the_pool_with_the_fewest_volumes_is_preferred_or_the_one_with_the_most() -> None:
    few, many = a_pool("few", volumes=1, free_gb=1, total_gb=10), a_pool("many", volumes=9)
    assert names([many, few], weighers=["VolumeNumberWeigher"]) == ["few", "many"]
    assert names([few, many], weighers=["VolumeNumberWeigher"], volume_number_multiplier=1.0) == ["many", "few"]


def test_chance_lets_every_pool_come_first() -> None:
    firsts = Counter(names([ROOMY, NARROW], weighers=["ChanceWeigher"])[0] for _ in range(200))
    assert set(firsts) == {"roomy", "narrow"}


def test_the_stochastic_handler_draws_by_weight() -> None:
    """Three quarters of the weight: of 2,000 draws about 1,500, and never a pool without any."""
    pools = [
        a_pool(name, thin=False, total_gb=gb, free_gb=gb)
        for name, gb in (("three", 30), ("one", 10), ("none", 0))
    ]
    tunables = Tunables(weight_handler="StochasticHostWeightHandler")
    drawn = Counter(best(pools, a_request(), tunables).name for _ in range(2000))
    assert drawn["none"] == 0
    assert 1300 < drawn["three"] < 1700


def test_pools_without_any_weight_are_drawn_alike() -> None:
    pools = [a_pool(name, thin=False, total_gb=0, free_gb=0) for name in "ab"]
    tunables = Tunables(weight_handler="StochasticHostWeightHandler")
    assert {best(pools, a_request(), tunables).name for _ in range(100)} == {"a", "b"}


def test_a_filter_that_the_setting_leaves_out_is_not_asked() -> None:
    elsewhere = a_pool(availability_zone="elsewhere")
    with pytest.raises(NoValidBackend):
        choose([elsewhere], a_request(), Tunables())
    assert choose([elsewhere], a_request(), Tunables(filters=["CapacityFilter"])) == elsewhere

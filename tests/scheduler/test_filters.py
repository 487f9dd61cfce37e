"""Which pools may hold a volume: one claim for each rule of each filter."""

import pytest
from pools import a_pool, a_request

from pumice.model.errors import NoValidBackend
from pumice.model.tunables import Tunables
from pumice.scheduler.choose import WORDS, choose
from pumice.scheduler.filters import FILTERS, availability_zone, capabilities, capacity, within_reach
from pumice.scheduler.request import Request

RULES = Tunables(filters=tuple(FILTERS))


def test_only_pools_of_the_zone_pass() -> None:
    request = a_request(availability_zone="east")
    assert availability_zone(a_pool(availability_zone="east"), request)
    assert not availability_zone(a_pool(availability_zone="west"), request)


# --- capacity -----------------------------------------------------------------------------------


def test_a_thin_pool_promises_its_ratio_and_no_more() -> None:
    pool = a_pool(total_gb=10, free_gb=10, max_over_subscription_ratio=2.0, claimed_gb=15)
    assert capacity(pool, a_request(5))
    assert not capacity(pool, a_request(6))


def test_a_thin_pool_does_not_promise_much_more_at_once_than_is_really_left() -> None:
    pool = a_pool(total_gb=100, free_gb=2, max_over_subscription_ratio=2.0)
    assert capacity(pool, a_request(4))
    assert not capacity(pool, a_request(5))


def test_what_is_reserved_counts_neither_on_paper_nor_really() -> None:
    on_paper = a_pool(total_gb=10, free_gb=10, max_over_subscription_ratio=1.0, reserved_percentage=20)
    assert capacity(on_paper, a_request(8))
    assert not capacity(on_paper, a_request(9))
    really = a_pool(total_gb=100, free_gb=20, max_over_subscription_ratio=1.0, reserved_percentage=20)
    assert not capacity(really, a_request(1))


def test_a_ratio_below_one_counts_as_one() -> None:
    assert capacity(a_pool(total_gb=10, free_gb=10, max_over_subscription_ratio=0.5), a_request(10))


def test_a_thick_pool_holds_what_it_has_less_what_is_reserved() -> None:
    pool = a_pool(thin=False, total_gb=10, free_gb=10, reserved_percentage=20)
    assert capacity(pool, a_request(8))
    assert not capacity(pool, a_request(9))


def test_a_thick_pool_counts_claims_that_its_last_report_did_not_know_of() -> None:
    assert not capacity(a_pool(thin=False, total_gb=10, free_gb=10, claimed_gb=9), a_request(2))


def test_a_thick_pool_counts_what_others_wrote_into_it() -> None:
    assert not capacity(a_pool(thin=False, total_gb=10, free_gb=1), a_request(2))


def test_an_endless_pool_holds_anything() -> None:
    endless = float("inf")
    assert capacity(a_pool(total_gb=endless, free_gb=endless), a_request(10**9))


@pytest.mark.parametrize("thin", [True, False])
def test_a_pool_of_nothing_holds_nothing(thin: bool) -> None:
    assert not capacity(a_pool(thin=thin, total_gb=0, free_gb=0), a_request(1))


@pytest.mark.parametrize("thin", [True, False])
def test_a_pool_that_is_reserved_as_a_whole_holds_nothing(thin: bool) -> None:
    assert not capacity(a_pool(thin=thin, reserved_percentage=100), a_request(1))


# --- capabilities -------------------------------------------------------------------------------


def met(specs: dict[str, str], **reported: object) -> bool:
    return capabilities(a_pool(capabilities=reported), a_request(extra_specs=specs))


def test_a_type_without_extra_specs_is_met_by_every_pool() -> None:
    assert met({})


def test_every_extra_spec_must_be_met() -> None:
    assert met({"media": "ssd", "iops": ">= 100"}, media="SSD", iops=200)
    assert not met({"media": "ssd", "iops": ">= 100"}, media="SSD", iops=50)


def test_a_capability_that_a_pool_does_not_report_is_not_met() -> None:
    assert not met({"media": "ssd"})


def test_the_scope_capabilities_may_be_left_out() -> None:
    assert met({"capabilities:media": "ssd"}, media="ssd")
    assert not met({"capabilities:media": "ssd"}, media="hdd")


def test_a_scope_within_the_scope_capabilities_is_not_passed_over() -> None:
    assert not met({"capabilities:disk:media": "ssd"}, media="ssd")


def test_a_scope_is_looked_up_in_what_a_pool_reports_under_its_name() -> None:
    assert met({"capabilities:disk:media": "ssd"}, disk={"media": "ssd"})
    assert not met({"capabilities:disk:media": "ssd"}, disk={"size": "large"})
    assert not met({"capabilities:disk:media": "ssd"}, disk="ssd")


def test_of_a_list_that_a_pool_reports_one_value_is_enough() -> None:
    assert met({"storage_protocol": "<or> FC <or> iSCSI"}, storage_protocol=["NVMe", "iSCSI"])
    assert not met({"storage_protocol": "FC"}, storage_protocol=["NVMe", "iSCSI"])


def test_the_name_of_a_backend_and_replication_are_capabilities() -> None:
    specs = {"volume_backend_name": "fast", "replication_enabled": "<is> True"}
    assert met(specs, volume_backend_name="fast", replication_enabled=True)
    assert not met(specs, volume_backend_name="fast"), "what does not replicate does not say so"


def test_other_scopes_speak_to_others_and_are_passed_over() -> None:
    assert met({"quality:iops": "1000", "trait:a:b": "required"})


def test_a_multiattach_type_goes_only_where_volumes_can_be_shared() -> None:
    assert met({"multiattach": "<is> True"}, multiattach=True)
    assert not met({"multiattach": "<is> True"}, multiattach=False)


def test_whether_a_pool_is_thin_is_a_capability() -> None:
    specs = {"thin_provisioning_support": "<is> True"}
    assert capabilities(a_pool(thin=True), a_request(extra_specs=specs))
    assert not capabilities(a_pool(thin=False), a_request(extra_specs=specs))


# --- all of them --------------------------------------------------------------------------------


def test_a_pool_that_failed_the_request_is_not_chosen_again() -> None:
    one, two = a_pool("here@one#a"), a_pool("here@two#b", free_gb=1)
    assert choose([one, two], a_request(), RULES) == one
    assert choose([one, two], a_request(left_out=frozenset({one.name})), RULES) == two


def test_a_clone_is_made_where_its_origin_is() -> None:
    one, two = a_pool("here@one#a"), a_pool("here@two#b", free_gb=1)
    assert choose([one, two], a_request(only_host="here@two"), RULES) == two


def test_hints_keep_volumes_together_and_apart() -> None:
    one, two = a_pool("here@one#a"), a_pool("here@two#b", free_gb=1)
    assert choose([one, two], a_request(near=frozenset({"here@two"})), RULES) == two
    assert choose([one, two], a_request(apart=frozenset({"here@one"})), RULES) == two
    assert choose([one, two], a_request(), RULES) == one


def test_a_volume_is_kept_on_the_host_of_a_server() -> None:
    one, two = a_pool("one@x#a", free_gb=1), a_pool("two@x#b")
    assert choose([one, two], a_request(beside="one"), RULES) == one


def test_a_type_may_leave_the_choice_among_zones() -> None:
    one, two = (
        a_pool("one@x#a", availability_zone="east", free_gb=1),
        a_pool("two@x#b", availability_zone="west"),
    )
    assert choose([one, two], a_request(zones=frozenset({"east", "north"})), RULES) == one


@pytest.mark.parametrize(
    ("query", "met"),
    [
        ('["=", "$host", "here@one"]', True),
        ('["=", "$backend_id", "here@one#b"]', False),
        ('[">=", "$free_capacity_gb", 100]', True),
        ('["<", "$free_capacity_gb", 100]', False),
        ('["and", [">", "$total_capacity_gb", 1], ["<=", "$allocated_capacity_gb", 0]]', True),
        ('["or", ["=", 1, 2], ["=", 1, 1]]', True),
        ('["not", ["=", 1, 1]]', False),
        ('["not", ["=", 1, 1], ["=", 1, 2]]', True),
        ('["in", "$capabilities.media", "ssd", "nvme"]', True),
        ('["=", "$media", "ssd", "ssd"]', True),
        ('["=", "$no_such", "ssd"]', False),
        ('["in", "x"]', False),
        ("[]", True),
        ("{}", True),
        ('{"=": 1}', False),
        ('["rm", "$host"]', False),
        ('["<", "$host", 3]', False),
        ('[["="], 1]', False),
        ("x", False),
        ("[" * 4000 + "]" * 4000, False),
    ],
)
def test_a_query_means_what_it_means_to_cinder(query: str, met: bool) -> None:
    pool = a_pool("here@one#a", capabilities={"media": "ssd"})
    assert FILTERS["JsonFilter"](pool, a_request(query=query)) is met


@pytest.mark.parametrize(
    ("wanted", "name", "told", "detail"),
    [
        (a_request(beside=""), "InstanceLocalityFilter", "'local_to_instance'", "there is no such server"),
        (a_request(query='["=", 1, 2]'), "JsonFilter", "'query'", 'query is ["=", 1, 2]'),
        (a_request(availability_zone="east"), "AvailabilityZoneFilter", "zone east", "it is in "),
        (a_request(only_host="there@one"), "SameBackend", "what it is made of", "not on there@one"),
        (
            a_request(left_out=frozenset({"here@one#a"})),
            "IgnoreAttempted",
            "was tried",
            "here@one#a: it was tried",
        ),
        (a_request(10**6), "CapacityFilter", "room for 1000000 GiB", "claimed"),
        (
            a_request(extra_specs={"media": "ssd", "thin_provisioning_support": "<is> True"}),
            "CapabilitiesFilter",
            "its volume type",
            "here@one#a: 'media' is not reported, and 'ssd' is asked for",
        ),
    ],
)
def test_the_error_names_the_filter_that_left_no_pool(
    wanted: Request, name: str, told: str, detail: str
) -> None:
    with pytest.raises(NoValidBackend) as failed:
        choose([a_pool(thin=True)], wanted, RULES)
    assert f"{name} left none of 1 pool" in failed.value.detail
    assert name not in str(failed.value), "a tenant is told in plain words"
    assert told in str(failed.value)
    assert detail in failed.value.detail and detail not in str(failed.value)
    assert "thin_provisioning_support" not in failed.value.detail, "what is met is not told"


def test_every_filter_has_words_for_what_it_leaves() -> None:
    assert FILTERS.keys() == WORDS.keys()


# --- reach --------------------------------------------------------------------------------------


def test_a_servers_volume_is_where_a_host_that_may_run_the_server_reaches_it() -> None:
    of_one_host, of_any = a_pool("here@one#a", capabilities={"local_to_host": True}), a_pool("here@two#a")
    for pool in (of_one_host, of_any):
        assert within_reach(pool, a_request())
        assert within_reach(pool, a_request(reached_from=frozenset({"here", "there"})))
    elsewhere = a_request(reached_from=frozenset({"there"}))
    assert within_reach(of_any, elsewhere)
    assert not within_reach(of_one_host, elsewhere)

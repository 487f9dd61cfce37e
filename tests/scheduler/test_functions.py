"""The language of filter and goodness functions."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import a_pool, a_request

from pumice.model.errors import NoValidBackend
from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.choose import choose
from pumice.scheduler.functions import Malformed, evaluate

NAMES = {
    "volume": {"size": 10},
    "stats": {"free_capacity_gb": 100.5, "volume_backend_name": "lvm-1"},
    "extra": {"level": "3"},
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ^ 3 ^ 2", 512),
        ("-2 ^ 2", -4),
        ("10 - 3 - 2", 5),
        ("100 / volume.size", 10),
        ("volume.size < 50", True),
        ("volume.size >= 5 and stats.free_capacity_gb > 100", True),
        ("volume.size > 50 | not (1 == 2)", True),
        ("!(1 <> 2) & 1 < 2", False),
        ("not 1 == 2", True),
        ("stats.volume_backend_name == 'lvm-1'", True),
        ("extra.level + 1", 4),
        ("max(1, min(5, 3), abs(-2))", 3),
        ("volume.size < 5 ? 100 : volume.size < 20 ? 50 : 0", 50),
        ("(1 < 2) ? 3 : 4", 3),
    ],
)
def test_what_cinders_guide_allows_means_what_it_says(expression: str, value: object) -> None:
    assert evaluate(expression, NAMES) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "1 2",
        "(1",
        "volume.colour",
        "__import__('os')",
        "1 / 0",
        "'a' + 1",
        "min()",
        "9 ^ 9999",
        "a.b.c",
        "$",
    ],
)
def test_anything_else_is_malformed(expression: str) -> None:
    with pytest.raises(Malformed):
        evaluate(expression, NAMES)


@given(st.text(alphabet="0123456789 +-*/^()<>=!&|?:,.abmin'volume", max_size=60))
def test_no_text_does_anything_but_have_a_value_or_be_malformed(expression: str) -> None:
    with suppress(Malformed):
        assert isinstance(evaluate(expression, NAMES), int | float | str)


FAST = {"filter_function": "volume.size <= 10", "goodness_function": "volume.size < 5 ? 100 : 20"}
PLAIN = {"goodness_function": "50"}


def chosen(size: int, *pools: Pool) -> str:
    return choose(pools, a_request(size), Tunables(weighers=["GoodnessWeigher"])).name


def test_a_pool_whose_filter_function_says_no_is_left_out() -> None:
    assert (
        chosen(10, a_pool("here@fast#a", capabilities={"filter_function": FAST["filter_function"]}))
        == "here@fast#a"
    )
    with pytest.raises(NoValidBackend, match="no backend takes such a volume"):
        chosen(11, a_pool(capabilities=FAST))


def test_the_pool_with_the_best_goodness_is_chosen() -> None:
    pools = a_pool("here@fast#a", capabilities=FAST), a_pool("here@plain#a", capabilities=PLAIN)
    assert chosen(4, *pools) == "here@fast#a"
    assert chosen(6, *pools) == "here@plain#a"


@pytest.mark.parametrize("goodness", ["-1", "101", "nonsense", "volume.size / 0"])
def test_goodness_that_makes_no_sense_counts_as_none(goodness: str) -> None:
    pools = (
        a_pool("here@a#a", capabilities={"goodness_function": goodness}),
        a_pool("here@b#b", capabilities=PLAIN),
    )
    assert chosen(1, *pools) == "here@b#b"


def test_a_filter_function_that_makes_no_sense_lets_nothing_in() -> None:
    with pytest.raises(NoValidBackend, match="no backend takes such a volume"):
        chosen(1, a_pool(capabilities={"filter_function": "nonsense"}))

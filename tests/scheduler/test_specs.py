"""The operators of extra specs, as Cinder's admin guide lists them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.scheduler.specs import matches


@pytest.mark.parametrize(
    ("value", "wanted", "met"),
    [
        ("SSD", "ssd", True),
        ("ssd", "hdd", False),
        ("True", "true", True),
        ("", "", True),
        ("ssd", "", False),
        ("10", "= 10", True),
        ("11", "= 10", True),
        ("9", "= 10", False),
        ("10.0", "== 10", True),
        ("11", "== 10", False),
        ("11", "!= 10", True),
        ("10", "!= 10", False),
        ("10", ">= 10", True),
        ("9", ">= 10", False),
        ("10", "<= 10", True),
        ("11", "<= 10", False),
        ("123", "s== 123", True),
        ("123", "s== 0123", False),
        ("123", "s!= 124", True),
        ("12", "s< 2", True),
        ("2", "s<= 2", True),
        ("2", "s> 12", True),
        ("2", "s>= 2", True),
        ("2", "s< 2", False),
        ("a fast disk", "<in> fast", True),
        ("a slow disk", "<in> fast", False),
        ("True", "<is> True", True),
        ("yes", "<is> true", True),
        ("False", "<is> true", False),
        ("False", "<is> false", True),
        ("iSCSI", "<or> FC <or> iSCSI", True),
        ("iSCSI", "<or> iSCSI", True),
        ("NVMe", "<or> FC <or> iSCSI", False),
    ],
)
def test_an_operator_means_what_it_means_to_cinder(value: str, wanted: str, met: bool) -> None:
    assert matches(value, wanted) is met


@pytest.mark.parametrize("operator", ["=", "==", "!=", ">=", "<="])
def test_a_word_that_is_no_number_meets_no_numeric_operator(operator: str) -> None:
    assert not matches("plenty", f"{operator} 10")
    assert not matches("10", f"{operator} plenty")


@pytest.mark.parametrize("operator", ["=", "==", "s==", "<is>", "<or>", "<in>"])
def test_an_operator_without_a_value_is_met_by_no_value(operator: str) -> None:
    assert not matches("10", operator)


@given(st.text(), st.text())
def test_no_text_of_a_tenant_or_a_backend_is_too_strange_to_compare(value: str, wanted: str) -> None:
    assert matches(value, wanted) in (True, False)

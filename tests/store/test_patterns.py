"""Patterns that tenants send mean what they mean to ``re``, and end."""

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from pumice.model.pattern import LONGEST, Pattern

PARTS = st.tuples(
    st.sampled_from(("a", ".", "-", r"\-", "[ab]", "[^a-c]")), st.sampled_from(("", "*", "+", "?"))
)


@given(st.lists(PARTS, max_size=5).map(lambda parts: "".join("".join(part) for part in parts)), st.text("abd-"))
def test_a_pattern_means_what_it_means_to_re(middle: str, text: str) -> None:
    for pattern in (middle, f"^{middle}", f"{middle}$", f"^{middle}$"):
        assert Pattern.parse(pattern).is_in(text) == bool(re.search(pattern, text)), (pattern, text)


def test_no_pattern_takes_longer_than_its_length_times_that_of_the_text() -> None:
    pattern, began = Pattern.parse("a*" * (LONGEST // 2) + "b"), time.thread_time()
    assert not pattern.is_in("a" * LONGEST)
    assert time.thread_time() - began < 5

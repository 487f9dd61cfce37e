"""A list that is sorted and cut in memory: its order, its parts, and what a marker means that is not in it."""

from operator import itemgetter

import pytest

from pumice.api.paging import Page, ShortList, Unknown, texts
from pumice.model.errors import Invalid, NotFound

Thing = dict[str, str | None]

THINGS: list[Thing] = [
    {"id": "1", "name": "b"},
    {"id": "2", "name": None},
    {"id": "3", "name": "a"},
    {"id": "4", "name": "b"},
]


def shelf(unknown: Unknown) -> ShortList[Thing]:
    return ShortList(
        "Thing", itemgetter("id"), unknown, texts(itemgetter, "id", "name"), {"name": itemgetter("name")}
    )


def ids(page: Page, unknown: Unknown = Unknown.INVALID) -> list[str | None]:
    return [thing["id"] for thing in shelf(unknown).page(page, THINGS)]


def test_the_first_key_counts_most_and_none_is_an_empty_text() -> None:
    assert ids(Page(9, None, (("name", True), ("id", False)))) == ["2", "3", "4", "1"]
    assert ids(Page(9, None, (("name", False), ("id", True)))) == ["1", "4", "3", "2"]


def test_a_page_begins_after_its_marker_and_then_its_offset() -> None:
    assert ids(Page(2, "1", (("id", True),))) == ["2", "3"]
    assert ids(Page(2, "1", (("id", True),), offset=2)) == ["4"]
    assert ids(Page(2, "4", (("id", True),))) == []
    assert ids(Page(0, None, (("id", True),))) == []


def test_an_unknown_marker_is_what_the_list_declares() -> None:
    page = Page(2, "5", (("id", True),))
    with pytest.raises(Invalid, match=r"marker \[5\] not found"):
        ids(page, Unknown.INVALID)
    with pytest.raises(NotFound, match="Thing 5"):
        ids(page, Unknown.NOT_FOUND)
    assert ids(page, Unknown.LAST) == []


def test_what_meets_no_filter_is_left_out_and_may_be_the_marker() -> None:
    page = Page(2, "3", (("id", True),))
    assert shelf(Unknown.INVALID).page(page, THINGS, {"name": "b"}) == [THINGS[3]]
    assert shelf(Unknown.INVALID).page(page, THINGS, {"limit": "2", "marker": "3"}) == [THINGS[3]]
    assert shelf(Unknown.INVALID).page(page, THINGS, {"name": "b", "colour": "red"}) == []

"""A list that is read whole: its order, its parts, and what a marker means that is not in it."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import pytest

import pumice.api
from pumice.api.collection import Asked, Collection, Unknown, nothing
from pumice.api.paging import Page
from pumice.api.short_lists import equals, read_whole, texts
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import INTERNAL
from pumice.store.database import Transaction

Thing = dict[str, str | None]

THINGS: list[Thing] = [
    {"id": "1", "name": "b"},
    {"id": "2", "name": None},
    {"id": "3", "name": "a"},
    {"id": "4", "name": "b"},
]
ROWS = read_whole("Thing", lambda _tx, _who: THINGS, itemgetter("id"))
NO_TX = cast(Transaction, None)


def shelf(**words: Any) -> Collection[Thing]:
    return Collection(texts(itemgetter, "id", "name"), nothing, ROWS, **words)


def ids(
    page: Page, query: Mapping[str, str] | None = None, unknown: Unknown = Unknown.INVALID
) -> list[str | None]:
    filters = equals(query or {}, {"name": itemgetter("name")})
    found, _ = shelf(unknown=unknown).read(NO_TX, INTERNAL, Asked(page, {"filters": filters}))
    return [thing["id"] for thing in found]


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
        ids(page, unknown=Unknown.INVALID)
    with pytest.raises(NotFound, match="Thing 5"):
        ids(page, unknown=Unknown.NOT_FOUND)
    assert ids(page, unknown=Unknown.LAST) == []


def test_what_is_missing_besides_the_marker_is_said_as_it_is() -> None:
    def of_a_server(_tx: Transaction, _who: object) -> list[Thing]:
        raise NotFound("Instance", "6")

    rows = read_whole("Thing", of_a_server, itemgetter("id"))
    of_none = Collection[Thing]({}, nothing, rows, unknown=Unknown.INVALID)
    with pytest.raises(NotFound, match="Instance 6"):
        of_none.read(NO_TX, INTERNAL, Asked(Page(2, "5"), {}))


def test_what_meets_no_filter_is_left_out_and_may_be_the_marker() -> None:
    page = Page(2, "3", (("id", True),))
    assert ids(page, {"name": "b"}) == ["4"]
    assert ids(page, {"limit": "2", "marker": "3"}) == ["4"]
    assert ids(page, {"name": "b", "colour": "red"}) == []


def test_no_list_has_a_pager_of_its_own() -> None:
    """A marker is read by what all lists of a service have in common, and nowhere else."""
    api = Path(pumice.api.__file__).parent
    reading = {f"{file.relative_to(api)}" for file in api.rglob("*.py") if '.get("marker")' in file.read_text()}
    assert reading == {"paging.py", "identity/lists.py", "image/filters.py"}

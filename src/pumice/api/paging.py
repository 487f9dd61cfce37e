"""Pages of a list: ``limit``, ``marker``, ``sort``, the link to the next (Block Storage and Compute).

A long list is sorted and cut by the database. A ``ShortList`` is read whole, and sorted and cut here.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from pumice.api.call import Call, Reply
from pumice.model.errors import Invalid, NotFound

T = TypeVar("T")
R = TypeVar("R")

NOT_FILTERS = frozenset(
    {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "all_tenants"}
)
"""What Cinder's lists are asked for besides filters."""
NO_FILTERS: Mapping[str, str] = MappingProxyType({})
PIECE = 50
"""Rows that are shown without a break: about two milliseconds."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for, in which order."""

    limit: int
    marker: str | None
    sort: tuple[tuple[str, bool], ...]
    """Pairs of column and whether it is ascending."""
    offset: int = 0


def parse_query(
    call: Call, *, keys: Collection[str], most: int, default: str = "created_at", ascends: bool = False
) -> Page:
    """The page a request asks for; sorted by ``default`` and descending, or not, where nothing is said of that.

    Raises ``Invalid`` for limits, offsets and sort keys that make no sense.
    """
    query = call.query
    return Page(
        limit=min(_whole(query, "limit", most), most),
        marker=query.get("marker") or None,
        sort=_sort(query, keys, default, ascends),
        offset=_whole(query, "offset", 0),
    )


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    try:
        number = int(text)
    except ValueError:
        raise Invalid(f"{name} param must be an integer, not '{text}'.") from None
    if not 0 <= number <= 2**31:
        raise Invalid(f"{name} param must not be negative or larger than {2**31}.")
    return number


def _sort(
    query: Mapping[str, str], keys: Collection[str], default: str, ascends: bool
) -> tuple[tuple[str, bool], ...]:
    way = "asc" if ascends else "desc"
    if text := query.get("sort"):
        if "sort_key" in query or "sort_dir" in query:
            raise Invalid("The 'sort_key' and 'sort_dir' parameters cannot be used with the 'sort' parameter.")
        pairs = [word.strip().partition(":")[::2] for word in text.split(",")]
    elif "sort_key" in query or "sort_dir" in query:
        pairs = [(query.get("sort_key") or default, query.get("sort_dir") or way)]
    else:
        return ((default, ascends),)
    for key, direction in pairs:
        if key not in keys:
            raise Invalid(f"Sort key '{key}' is not valid: choose from {', '.join(sorted(keys))}.")
        if direction not in ("", "asc", "desc"):
            raise Invalid("Sort direction must be 'asc' or 'desc'.")
    first = dict(reversed(pairs))  # a key that is repeated says nothing more
    return tuple((key, first[key] == "asc") for key in dict.fromkeys(key for key, _ in pairs))


class Unknown(Enum):
    """What a marker that is not in the list means: the services differ, and so do their lists."""

    INVALID = auto()
    """400: Nova's lists, Cinder's messages and transfers."""
    NOT_FOUND = auto()
    """404: Cinder's types and QoS specs."""
    LAST = auto()
    """An empty list, as if nothing came after it: Cinder's manageable volumes."""


@dataclass(frozen=True)
class ShortList(Generic[T]):
    """A list that is read whole: what things in it are named and sorted by."""

    kind: str
    """What it is a list of, for the fault that names an unknown marker."""
    name: Callable[[T], str]
    """What a marker says of a thing."""
    unknown: Unknown
    keys: Mapping[str, Callable[[T], Any]] = field(default_factory=dict)
    """What it can be sorted by."""
    filters: Mapping[str, Callable[[T], Any]] = field(default_factory=dict)
    """What it can be filtered by, as texts; by anything else nothing is found."""

    def page(self, page: Page, things: Iterable[T], query: Mapping[str, str] = NO_FILTERS) -> list[T]:
        """The part of the list that is asked for, in its order; of what meets the ``query``, if it has filters.

        A marker may be of what does not meet it. Raises ``Invalid`` or ``NotFound``.
        """
        rows = self.matching(query, self.after(page, self.ordered(page, things)))
        return rows[page.offset : page.offset + page.limit]

    def matching(self, query: Mapping[str, str], things: Iterable[T]) -> list[T]:
        """What of the list meets every filter of a query, in its order."""
        wanted = [(self.filters.get(name), value) for name, value in query.items() if name not in NOT_FILTERS]
        return [it for it in things if all(read is not None and read(it) == value for read, value in wanted)]

    def ordered(self, page: Page, things: Iterable[T]) -> list[T]:
        """The whole list in the order that is asked for."""
        rows = list(things)
        for key, ascending in reversed(page.sort):
            rows.sort(key=self.keys[key], reverse=not ascending)
        return rows

    def after(self, page: Page, things: list[T]) -> list[T]:
        """What of the list comes after its marker. Raises ``Invalid`` or ``NotFound``."""
        if not page.marker:
            return things
        for place, thing in enumerate(things, 1):
            if self.name(thing) == page.marker:
                return things[place:]
        if self.unknown is Unknown.NOT_FOUND:
            raise NotFound(self.kind, page.marker)
        if self.unknown is Unknown.INVALID:
            raise Invalid(f"marker [{page.marker}] not found")
        return []


def texts(getter: Callable[[str], Callable[[Any], Any]], *names: str) -> dict[str, Callable[[Any], str]]:
    """Sort keys that are attributes (``attrgetter``) or items, compared as text; None is an empty one."""
    return {name: _text(getter(name)) for name in names}


def _text(read: Callable[[Any], Any]) -> Callable[[Any], str]:
    return lambda thing: str(read(thing) or "")


async def in_pieces(view: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """A view of each thing. Whatever else waits for the event loop gets in between."""
    shown: list[R] = []
    for thing in things:
        if len(shown) % PIECE == PIECE - 1:
            await asyncio.sleep(0)
        shown.append(view(thing))
    return shown


def listed(
    call: Call,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    page: Page,
    count: int | None = None,
    links: str | None = None,
) -> Reply:
    """A page on the wire: with the ``links`` to the next, if there is one, and the count, if that was asked."""
    body: dict[str, Any] = {name: rows}
    if following := next_link(call, rows, page):
        body[links or f"{name}_links"] = following
    if count is not None:
        body["count"] = count
    return Reply(body)


def next_link(
    call: Call, shown: Sequence[Mapping[str, Any]], page: Page, key: str = "id"
) -> list[dict[str, str]]:
    """The ``…_links`` of a full page: where the next begins; empty when this is the last."""
    if not page.limit or len(shown) < page.limit:
        return []
    pairs = [(name, value) for name, value in call.query_pairs if name not in ("marker", "offset")]
    pairs.append(("marker", shown[-1][key]))
    return [{"rel": "next", "href": f"{call.base_url}{call.path}?{urlencode(pairs)}"}]

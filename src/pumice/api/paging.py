"""Pages of a list: ``limit``, ``marker``, ``sort``, the link to the next (Block Storage and Compute)."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from pumice.api.call import Call
from pumice.model.errors import Invalid

T = TypeVar("T")
R = TypeVar("R")

NOT_FILTERS = frozenset(
    {"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "with_count", "all_tenants"}
)
"""What Cinder's lists are asked for besides filters."""
PIECE = 50
"""Rows that are shown without a break: about two milliseconds."""
MOST = 2**31


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for, in which order."""

    limit: int = MOST
    marker: str | None = None
    sort: tuple[tuple[str, bool], ...] = ()
    """Pairs of column and whether it is ascending."""
    offset: int = 0


def parse_query(
    query: Mapping[str, str], *, keys: Collection[str], most: int, default: str, ascends: bool = False
) -> Page:
    """The page a query asks for; sorted by ``default`` and descending, or not, where nothing is said of that.

    Without ``keys`` there is no order but the list's own. Raises ``Invalid`` for limits, offsets and sort keys
    that make no sense.
    """
    return Page(
        limit=min(_whole(query, "limit", most), most),
        marker=query.get("marker") or None,
        sort=_sort(query, keys, default, ascends) if keys else (),
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
    if not 0 <= number <= MOST:
        raise Invalid(f"{name} param must not be negative or larger than {MOST}.")
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


async def in_pieces(view: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """A view of each thing. Whatever else waits for the event loop gets in between."""
    shown: list[R] = []
    for thing in things:
        if len(shown) % PIECE == PIECE - 1:
            await asyncio.sleep(0)
        shown.append(view(thing))
    return shown


def next_link(
    call: Call, shown: Sequence[Mapping[str, Any]], page: Page, key: str = "id"
) -> list[dict[str, str]]:
    """The ``…_links`` of a full page: where the next begins; empty when this is the last."""
    if not page.limit or len(shown) < page.limit:
        return []
    pairs = [(name, value) for name, value in call.query_pairs if name not in ("marker", "offset")]
    pairs.append(("marker", shown[-1][key]))
    return [{"rel": "next", "href": f"{call.base_url}{call.path}?{urlencode(pairs)}"}]

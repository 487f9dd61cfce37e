"""Short lists: read whole, and sorted, filtered and cut here. The parts that a ``Collection`` of one has."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from pumice.api.paging import NOT_FILTERS
from pumice.model.errors import NotFound
from pumice.model.scope import Scope
from pumice.store.database import Transaction

T = TypeVar("T")


def read_whole(
    kind: str, read: Callable[..., Iterable[T]], name: Callable[[T], object] = attrgetter("id")
) -> Callable[..., list[T]]:
    """The ``rows`` of a list that ``read`` reads whole; ``name`` is what a marker says of a thing.

    A marker may be of what the filters leave out. ``kind`` is for the fault that names an unknown one.
    """

    def page(
        tx: Transaction,
        who: Scope,
        *,
        limit: int,
        marker: str | None,
        sort: Sequence[tuple[Callable[[T], Any], bool]],
        offset: int = 0,
        filters: Sequence[Callable[[T], bool]] = (),
        **told: Any,
    ) -> list[T]:
        things = after(ordered(read(tx, who, **told), sort), marker, kind, name)
        return [it for it in things if all(meets(it) for meets in filters)][offset : offset + limit]

    return page


def ordered(things: Iterable[T], sort: Sequence[tuple[Callable[[T], Any], bool]]) -> list[T]:
    """The things in the order of ``sort``: pairs of key and whether it ascends; the first counts most."""
    rows = list(things)
    for key, ascending in reversed(sort):
        rows.sort(key=key, reverse=not ascending)
    return rows


def after(things: list[T], marker: str | None, kind: str, name: Callable[[T], object]) -> list[T]:
    """What comes after the thing that the marker names. Raises ``NotFound``."""
    if not marker:
        return things
    for place, thing in enumerate(things, 1):
        if str(name(thing)) == marker:
            return things[place:]
    raise NotFound(kind, marker)


def texts(
    getter: Callable[[str], Callable[[Any], Any]], *names: str, **renamed: str
) -> dict[str, Callable[[Any], str]]:
    """Sort keys that are attributes (``attrgetter``) or items, compared as text; None is an empty one.

    What is ``renamed`` is another's key: ``resource_uuid="resource_id"``.
    """
    return {key: _text(getter(name)) for key, name in [*zip(names, names, strict=True), *renamed.items()]}


def _text(read: Callable[[Any], Any]) -> Callable[[Any], str]:
    return lambda thing: str(read(thing) or "")


def equals(query: Mapping[str, str], readers: Mapping[str, Callable[[T], Any]]) -> list[Callable[[T], bool]]:
    """The tests of a query's filters by what ``readers`` read, as texts; nothing meets any other."""
    wanted = [(readers.get(name), value) for name, value in query.items() if name not in NOT_FILTERS]
    return [partial(_reads, read, value) for read, value in wanted]


def _reads(read: Callable[[T], Any] | None, value: str, thing: T) -> bool:
    return read is not None and bool(read(thing) == value)

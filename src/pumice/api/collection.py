"""Lists, each declared: what it is sorted and filtered by, where it is read, how its pages are asked for.

A long list is sorted, filtered and cut by the database: its ``rows`` are the store's ``page``. A short one is
read whole, and sorted, filtered and cut in memory (``short_lists.py``). The services read limits and markers
differently: a declaration says where a list is not as most of Cinder's are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import Any, Generic, TypeVar

from pumice.api import paging
from pumice.api.booleans import flag
from pumice.api.call import Call, Reply, Version
from pumice.api.routing import Handler
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.store.database import Transaction

T = TypeVar("T")
View = Callable[[T], Mapping[str, Any]]


class Pages(Enum):
    """What a list's query may say of pages."""

    MARKED = auto()
    """Limits, offsets, markers and sort keys; a full page has a link to the next."""
    LIMITED = auto()
    """Limits and offsets alone, and no link is told."""
    NONE = auto()
    """Nothing: it is always told whole."""


class Unknown(Enum):
    """What a marker that is not in the list means: the services differ, and so do their lists."""

    NOT_FOUND = auto()
    """404: most of Cinder's lists."""
    INVALID = auto()
    """400: Nova's and Glance's lists, Cinder's messages and transfers."""
    LAST = auto()
    """An empty list, as if nothing came after it: Cinder's manageable volumes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of a list that a request asks for."""

    page: paging.Page
    seen: Mapping[str, Any]
    """Whose things, and which: ``filters``, ``all_projects`` where the list is a project's, what it is told."""
    counts: bool = False
    """Whether the number of things on all pages is asked for too (``with_count``)."""


def nothing(_: Call) -> Sequence[Any]:
    """The conditions of a list that has no filters."""
    return ()


@dataclass(frozen=True)
class Collection(Generic[T]):
    """The declaration of a list of ``T``, and the handlers made of it."""

    keys: Mapping[str, Any]
    """What it can be sorted by, with the column that stands for it; of a short list a function of a thing."""
    conditions: Callable[[Call], Sequence[Any]]
    """What the query filters by: the store's conditions, or a short list's tests. Raises ``Invalid``."""
    rows: Callable[..., Sequence[T]]
    """The store's ``page``; of a short list what ``read_whole`` makes."""
    total: Callable[..., int] | None = None
    """How many there are on all pages, for a list that tells it since 3.45."""
    everywhere: Callable[[Call], bool] | None = None
    """Whether every project's are asked for; None for what belongs to no project. Raises ``Forbidden``."""
    told: Callable[[Call], Mapping[str, Any]] | None = None
    """What else of the request the reading is told. Raises ``Invalid``."""
    by: str = "created_at"
    """What it is sorted by where nothing is said: from the last to the first, unless it ``ascends``."""
    ascends: bool = False
    pages: Pages = Pages.MARKED
    since: Version = (0, 0)
    """Before, no query is read: all that the caller's project has is told."""
    ordered_since: Version = (0, 0)
    """Before, neither markers nor sort keys are read, and it is in the order in which it is read."""
    unknown: Unknown = Unknown.NOT_FOUND
    is_novas: bool = False
    """No list has both markers and offsets, a limit of 0 is none where there are no markers: Nova.

    An unknown marker is ``INVALID``.
    """
    marker: str = "id"
    """The key of what is shown that a marker names."""
    links: str | None = None
    """The key of the link to the next page, if it is not the list's with ``_links``."""

    def parse_query(self, call: Call) -> Asked:
        """What the request asks for. Raises ``Invalid``."""
        if call.version < self.since:
            call = replace(call, query_string="")
        whose = {} if self.everywhere is None else {"all_projects": self.everywhere(call)}
        told = self.told(call) if self.told else {}
        return Asked(
            self.page(call),
            seen={**whose, **told, "filters": self.conditions(call)},
            counts=self.total is not None and call.version >= (3, 45) and flag(call, "with_count"),
        )

    def page(self, call: Call) -> paging.Page:
        """The page that a query asks for. Raises ``Invalid``."""
        query = call.query
        if self.pages is Pages.LIMITED:
            query = {name: value for name, value in query.items() if name in ("limit", "offset")}
        elif self.pages is Pages.NONE:
            query = {}
        most = call.ctx.tunables.api_max_limit
        page = paging.parse_query(query, keys=self.keys, most=most, default=self.by, ascends=self.ascends)
        if self.is_novas:
            marked = self.pages is Pages.MARKED
            page = replace(page, offset=0) if marked else replace(page, limit=page.limit or most)
        if self.pages is Pages.NONE or call.version < self.since:
            return replace(page, limit=paging.MOST)
        return page if call.version >= self.ordered_since else replace(page, marker=None, sort=())

    def read(self, tx: Transaction, who: Scope, asked: Asked) -> tuple[Sequence[T], int | None]:
        """The rows, and their number on all pages if it was asked for.

        Raises ``NotFound`` or ``Invalid`` for a marker that is not in the list.
        """
        page = asked.page
        sort = [(self.keys[key], ascending) for key, ascending in page.sort]
        place = {"offset": page.offset} if page.offset else {}
        try:
            found = self.rows(tx, who, limit=page.limit, marker=page.marker, sort=sort, **place, **asked.seen)
        except NotFound as error:
            if page.marker is None or error.wanted != page.marker:
                raise
            if self.unknown is Unknown.LAST:
                return (), None
            if self.is_novas or self.unknown is Unknown.INVALID:
                raise Invalid(f"marker [{page.marker}] not found") from None
            raise
        return found, self.total(tx, who, **asked.seen) if self.total and asked.counts else None

    def answers(self, name: str, view: Callable[[Call, T], Mapping[str, Any]]) -> Handler:
        """The handler that lists what is asked for under ``name``, each thing as ``view`` shows it."""
        return self.answers_with(name, lambda _tx, call, _found: partial(view, call))

    def answers_with(self, name: str, viewer: Callable[[Transaction, Call, Sequence[T]], View[T]]) -> Handler:
        """The handler of a list whose things are shown with more than their rows.

        ``viewer`` reads that for all of a page's things at once, and makes their view.
        """

        def read(tx: Transaction, call: Call, asked: Asked) -> tuple[Sequence[T], int | None, View[T]]:
            found, count = self.read(tx, call.who, asked)
            return found, count, viewer(tx, call, found)

        async def handler(call: Call) -> Reply:
            asked = self.parse_query(call)
            found, count, view = await call.ctx.db.read(read, call, asked)
            shown = await paging.in_pieces(view, found)
            beside = self.beside(call, name, shown, asked.page)
            return Reply({name: shown, **beside, **({} if count is None else {"count": count})})

        return handler

    def beside(
        self, call: Call, name: str, shown: Sequence[Mapping[str, Any]], page: paging.Page
    ) -> dict[str, Any]:
        """What is told beside the list ``name``: the link to the next page, if there is one."""
        following = paging.next_link(call, shown, page, self.marker) if self.pages is Pages.MARKED else None
        return {self.links or f"{name}_links": following} if following else {}

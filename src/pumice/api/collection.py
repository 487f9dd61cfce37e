"""Lists that the database sorts, filters and cuts: declared by columns, conditions and reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from pumice.api import paging
from pumice.api.booleans import flag
from pumice.api.call import Call, Reply
from pumice.api.routing import Handler
from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.store.conditions import Condition
from pumice.store.database import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of a list that a request asks for."""

    page: paging.Page
    seen: Mapping[str, Any]
    """Whose things, and which: ``all_projects`` where the list is a project's, and ``filters``."""
    counts: bool
    """Whether the number of things on all pages is asked for too (``with_count``)."""


@dataclass(frozen=True)
class Collection(Generic[T]):
    """A list of rows of the store."""

    columns: Mapping[str, str]
    """What it can be sorted by, and the columns that stand for it."""
    conditions: Callable[[Call], Sequence[Condition]]
    """What the query filters by. Raises ``Invalid``."""
    rows: Callable[..., Sequence[T]]
    """The store's ``page``."""
    total: Callable[..., int] | None = None
    """How many there are on all pages, for a list that tells it since 3.45."""
    everywhere: Callable[[Call], bool] | None = None
    """Whether every project's are asked for; None for what belongs to no project. Raises ``Forbidden``."""
    by: str = "created_at"
    """What it is sorted by where nothing is said: from the last to the first, unless it ``ascends``."""
    ascends: bool = False
    is_novas: bool = False
    """A limit of 0 is none, there are no offsets, and an unknown marker is 400: Nova. Cinder takes 0 as it is,
    and has 404."""

    def parse_query(self, call: Call) -> Asked:
        """What the request asks for. Raises ``Invalid``."""
        most = call.ctx.tunables.api_max_limit
        page = paging.parse_query(call, keys=self.columns, most=most, default=self.by, ascends=self.ascends)
        if self.is_novas:
            page = replace(page, limit=page.limit or most, offset=0)
        whose = {} if self.everywhere is None else {"all_projects": self.everywhere(call)}
        return Asked(
            page,
            seen={**whose, "filters": self.conditions(call)},
            counts=self.total is not None and call.version >= (3, 45) and flag(call, "with_count"),
        )

    def read(self, tx: Transaction, who: Scope, asked: Asked) -> tuple[Sequence[T], int | None]:
        """The rows, and their number on all pages if it was asked for.

        Raises ``NotFound`` or ``Invalid`` for a marker that is not in the list.
        """
        page = asked.page
        sort = [(self.columns[key], ascending) for key, ascending in page.sort]
        place = {"offset": page.offset} if page.offset else {}
        try:
            found = self.rows(tx, who, limit=page.limit, marker=page.marker, sort=sort, **place, **asked.seen)
        except NotFound:
            if self.is_novas:
                raise Invalid(f"marker [{page.marker}] not found") from None
            raise
        return found, self.total(tx, who, **asked.seen) if self.total and asked.counts else None

    def answers(self, name: str, view: Callable[[Call, T], Mapping[str, Any]]) -> Handler:
        """The handler that lists what is asked for under ``name``, each thing as ``view`` shows it."""

        async def handler(call: Call) -> Reply:
            asked = self.parse_query(call)
            found, count = await call.ctx.db.read(self.read, call.who, asked)
            return paging.listed(
                call, name, await paging.in_pieces(partial(view, call), found), asked.page, count
            )

        return handler

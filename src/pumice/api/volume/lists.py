"""Lists that the database sorts, filters and cuts: declared by columns, filters and reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pumice.api import paging
from pumice.api.booleans import flag
from pumice.api.call import Call
from pumice.api.volume.filters import Filters
from pumice.model.scope import Scope
from pumice.store.conditions import Condition
from pumice.store.database import Transaction

T = TypeVar("T")


def asks_for_all(call: Call) -> bool:
    """Whether an administrator asks for every project's."""
    return call.who.is_admin and "all_tenants" in call.query and flag(call, "all_tenants")


@dataclass(frozen=True, slots=True)
class Asked:
    """The part of a list that a request asks for."""

    page: paging.Page
    everywhere: bool
    """Of all projects, not the caller's alone."""
    conditions: Sequence[Condition]
    counts: bool
    """With the number of things on all pages (``with_count``)."""


@dataclass(frozen=True)
class Collection(Generic[T]):
    """A list of rows of the store."""

    columns: Mapping[str, str]
    """What it can be sorted by, and the columns that stand for it."""
    filters: Filters
    rows: Callable[..., Sequence[T]]
    """The store's ``page``."""
    total: Callable[..., int] | None = None
    """How many there are on all pages, for a list that tells it since 3.45."""

    def parse_query(self, call: Call) -> Asked:
        """What the request asks for. Raises ``Invalid``."""
        return Asked(
            page=paging.parse_query(call, keys=self.columns, most=call.house.rules.api_max_limit),
            everywhere=asks_for_all(call),
            conditions=self.filters.parse_query(call),
            counts=self.total is not None and call.version >= (3, 45) and flag(call, "with_count"),
        )

    def read(self, tx: Transaction, who: Scope, asked: Asked) -> tuple[Sequence[T], int | None]:
        """The rows, and their number on all pages if it was asked for. Raises ``NotFound`` for the marker."""
        seen = {"all_projects": asked.everywhere, "filters": asked.conditions}
        found = self.rows(
            tx,
            who,
            limit=asked.page.limit,
            marker=asked.page.marker,
            sort=[(self.columns[key], ascending) for key, ascending in asked.page.sort],
            offset=asked.page.offset,
            **seen,
        )
        return found, self.total(tx, who, **seen) if self.total and asked.counts else None

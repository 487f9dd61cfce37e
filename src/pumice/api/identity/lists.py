"""What every resource of Identity has in common: links, lists with filters, and the keys that clients add."""

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pumice.api import booleans, short_lists
from pumice.api.call import Call, Reply
from pumice.api.identity.reach import within_reach
from pumice.api.routing import Handler
from pumice.api.times import as_utc
from pumice.model.errors import Invalid, NotFound
from pumice.model.ids import new_id

ROOT = "/identity/v3"


class Kept(BaseModel):
    """A body whose unknown keys are kept and shown again, as Keystone does."""

    model_config = ConfigDict(extra="allow", strict=True)

    def given(self) -> dict[str, Any]:
        """The known keys that the client sent."""
        return self.model_dump(include=set(type(self).model_fields) - {"options"}, exclude_unset=True)

    def row(self) -> dict[str, Any]:
        """A new row: an id, the known keys with their defaults, and the others."""
        known = set(type(self).model_fields) - {"options"}
        return {"id": new_id(), **self.model_dump(include=known), "extra": self.extra()}

    def extra(self) -> dict[str, Any]:
        """The keys that are not known, and the options."""
        return {**(self.model_extra or {}), **self.model_dump(include={"options"}, exclude_unset=True)}


class Changes(Kept):
    """The body of a change: a ``Kept`` that has at least one key."""

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, body: Any) -> Any:
        if body == {}:
            raise ValueError("It must have at least one property")
        return body


class Options(BaseModel):
    """What of a project, a domain or a role can be set beside its columns; null unsets."""

    model_config = ConfigDict(extra="forbid", strict=True)

    immutable: bool | None = None


Description = Annotated[str, BeforeValidator(lambda text: "" if text is None else text)]
"""The description of what always has one; null is an empty one."""
Name = Field(min_length=1, max_length=255, pattern=r"\S")
ShortName = Field(min_length=1, max_length=64, pattern=r"\S")
"""The name of a project or a domain (Keystone's ``resource.schema``)."""


def must_stay(kind: str, column: str, now: str | None, given: Mapping[str, Any]) -> None:
    """Raises ``Invalid`` if an update would change what cannot change."""
    if given.get(column, now) != now:
        raise Invalid(f"Cannot change {kind}'s {column.replace('_', ' ')}.")


def link(call: Call, *parts: str) -> str:
    """The address of a resource of this API."""
    return "/".join((call.base_url + ROOT, *parts))


def moment(at: datetime | None) -> str | None:
    """A time that belongs to a user: UTC, without saying so."""
    return at.isoformat(timespec="microseconds") if at else None


def wanted(call: Call, columns: Collection[str]) -> dict[str, object]:
    """The filters of a list, by column."""
    query = call.query
    filters: dict[str, object] = {column: query[column] for column in columns if query.get(column)}
    if "enabled" in filters:
        filters["enabled"] = booleans.is_set(call, "enabled")
    return filters


_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda text, part: part in text,
    "startswith": str.startswith,
    "endswith": str.endswith,
}


def _comparisons(query: Mapping[str, str]) -> list[Callable[[Mapping[str, Any]], bool]]:
    """The tests of ``name__contains`` and its like; with an ``i`` before the word, case does not matter."""
    asked = ((key.partition("__"), value) for key, value in query.items() if "__" in key)
    return [_comparison(column, word, value) for (column, _, word), value in asked]


def _comparison(column: str, word: str, value: str) -> Callable[[Mapping[str, Any]], bool]:
    compare, folds = _COMPARE.get(word), False
    if compare is None:
        compare, folds = _COMPARE.get(word.removeprefix("i")), True
    if compare is None:
        known = ", ".join(sorted(_COMPARE))
        raise Invalid(
            f"There is no comparison '{word[:64]}': known are {known}, each also with an i before it."
        )

    def test(item: Mapping[str, Any]) -> bool:
        text = item.get(column)
        if not isinstance(text, str):
            return False
        return compare(text.casefold(), value.casefold()) if folds else compare(text, value)

    return test


_ORDERS: Mapping[str, Callable[[str, str], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}


def expiring(call: Call, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The users whose password ends as asked: ``?password_expires_at=lt:2026-01-31T12:00:00Z``."""
    text = call.query.get("password_expires_at")
    if text is None:
        return list(items)
    word, _, written = text.partition(":")
    try:
        compare, limit = _ORDERS[word], moment(as_utc(written)) or ""
    except (KeyError, ValueError):
        known = ", ".join(_ORDERS)
        raise Invalid(f"password_expires_at is one of {known}, a colon and a time of ISO 8601.") from None
    ends = ((item, item["password_expires_at"]) for item in items)
    return [item for item, end in ends if end is not None and compare(end, limit)]


def refuse_unknown(call: Call, *known: str) -> None:
    """Raises ``Invalid`` for a query beyond these, where Keystone does so."""
    known = ("limit", "marker", "sort_key", "sort_dir", *known)
    if unknown := [name for name in call.query if name.partition("__")[0] not in known]:
        raise Invalid(f"Additional properties are not allowed ('{unknown[0][:64]}' was unexpected).")


def _sorted(query: Mapping[str, str], items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The items in the order asked for, by any attribute that is shown; as they came without."""
    key, way = query.get("sort_key"), query.get("sort_dir") or "asc"
    if way not in ("asc", "desc"):
        raise Invalid("Sort direction must be 'asc' or 'desc'.")
    if key is None:
        return items[::-1] if way == "desc" else items
    if items and all(key not in item for item in items):
        raise Invalid(f"Sort key '{key[:64]}' is not valid: nothing in this list has it.")
    return sorted(items, key=lambda item: str(item.get(key) or ""), reverse=way == "desc")


def collection(call: Call, key: str, items: Sequence[Mapping[str, Any]]) -> Reply:
    """A list of things with ids, sorted, and cut by ``limit`` and ``marker``."""
    query = call.query
    items = _sorted(query, [item for item in items if all(test(item) for test in _comparisons(query))])
    try:
        items = short_lists.after(items, query.get("marker"), key, itemgetter("id"))
    except NotFound as error:
        raise Invalid(f"The marker {error.wanted} is not in the list.") from None
    limit = _limit(query.get("limit"), len(items))
    if limit >= len(items):
        return whole(call, key, items)
    pairs = [pair for pair in call.query_pairs if pair[0] != "marker"]
    following = urlencode([*pairs, ("marker", items[limit - 1]["id"])])
    return whole(call, key, items[:limit], f"{call.base_url}{call.path}?{following}")


def listing(
    key: str,
    read: Callable[..., Iterable[Any]],
    view: Callable[[Call, Any], Any],
    *columns: str,
    within: str = "",
) -> Handler:
    """The handler of a list: ``read`` is told what the path names, and the filters by ``columns``.

    ``within`` is the column that says which domain a row is in, where callers see their own domain's alone.
    """

    async def handler(call: Call) -> Reply:
        filters: dict[str, object] | None = wanted(call, columns)
        if within:
            filters = within_reach(call, filters or {}, within)
        rows = () if filters is None else await call.ctx.db.read(read, *call.args.values(), filters)
        return collection(call, key, [view(call, row) for row in rows])

    return handler


def whole(call: Call, key: str, items: Sequence[Mapping[str, Any]], following: str | None = None) -> Reply:
    """A list with its links: to itself and, if it is a page, to the following one."""
    here = f"{call.base_url}{call.path}" + (f"?{call.query_string}" if call.query_string else "")
    return Reply({key: items, "links": {"next": following, "self": here, "previous": None}})


def _limit(text: str | None, most: int) -> int:
    if not text:
        return most
    if not text.isascii() or not text.isdecimal():
        raise Invalid(f"limit param must be an integer that is not negative, not '{text}'.")
    return (int(text) if len(text) < 10 else 0) or most

"""The query of a list of images: filters, order and page (api-ref "List images")."""

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime

from pumice.api import booleans
from pumice.api.call import Call
from pumice.api.paging import Page
from pumice.api.times import as_utc
from pumice.model.errors import Invalid
from pumice.model.image import MemberStatus, Visibility
from pumice.store import image_filters
from pumice.store.image_filters import Condition
from pumice.store.images import SORT_KEYS

DEFAULT_LIMIT = 25
MOST_PARAMETERS = 100
MOST_VALUES = 500

_PAGE = {"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status"}
_WORDS = {"id", "name", "status", "container_format", "disk_format"}
_PLAIN = {"owner", "checksum", "os_hash_algo", "os_hash_value"}
_NUMBERS = {"size", "virtual_size", "min_disk", "min_ram"}
_TIMES = {"created_at", "updated_at"}
_FLAGS = {"os_hidden", "protected"}
_COMPARISONS = {"eq", "neq", "gt", "gte", "lt", "lte"}


def page(call: Call) -> Page:
    """The page that a query asks for. Raises ``Invalid``."""
    last = call.query
    limit = _number("limit", last.get("limit", str(DEFAULT_LIMIT)))
    most = call.ctx.tunables.api_max_limit
    return Page(min(limit, most), last.get("marker"), tuple(_sort(call.query_pairs)))


def members(call: Call) -> dict[str, str | None]:
    """The visibility asked for, and what the project has answered to what is shared. Raises ``Invalid``."""
    return {
        "visibility": _word(call.query, "visibility", {*Visibility, "all"}),
        "member_status": _word(call.query, "member_status", {*MemberStatus, "all"}) or MemberStatus.ACCEPTED,
    }


def conditions(call: Call) -> list[Condition]:
    """What a query filters by; without a word on it no hidden image is listed. Raises ``Invalid``."""
    pairs = call.query_pairs
    if len(pairs) > MOST_PARAMETERS:
        raise Invalid(f"The query has too many parameters: at most {MOST_PARAMETERS} are taken.")
    if "changes-since" in call.query:
        raise Invalid('The "changes-since" filter is no longer available on v2.')
    hidden = [] if "os_hidden" in call.query else [image_filters.one_of("os_hidden", [False])]
    return [*hidden, *(_filter(name, value) for name, value in pairs if name not in _PAGE)]


def _filter(name: str, value: str) -> Condition:
    if name in _WORDS:
        return image_filters.one_of(name, _values(name, value))
    if name in _PLAIN:
        return image_filters.one_of(name, [value])
    if name in _NUMBERS:
        return image_filters.one_of(name, [_number(name, value)])
    if name in _FLAGS:
        return image_filters.one_of(name, [booleans.of_image(name, value)])
    if name in _TIMES:
        return image_filters.when(name, *_comparison(name, value))
    if name == "tag":
        return image_filters.tagged(value.strip())
    if name.endswith("_min") and name[:-4] in _NUMBERS:
        return image_filters.at_least(name[:-4], _number(name, value))
    if name.endswith("_max") and name[:-4] in _NUMBERS:
        return image_filters.at_most(name[:-4], _number(name, value))
    return image_filters.with_property(name, value)


def _values(name: str, text: str) -> list[str]:
    """``in:a,"b,c"`` is a list; ``eq:a`` and ``a`` are one value, colons within it included."""
    operator, _, rest = text.partition(":")
    if operator == "eq":
        return [rest]
    if operator != "in":
        return [text]
    try:
        (values,) = csv.reader([rest], escapechar="\\", strict=True)
    except (csv.Error, ValueError):
        raise Invalid(f"Invalid filter value '{rest}' for '{name}': it is not a list.") from None
    if len(values) > MOST_VALUES:
        raise Invalid(f"The filter '{name}' has too many values: at most {MOST_VALUES} are taken.")
    return values


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(f"{name} must be a whole number that is not negative, not '{text}'.")
    return int(text)


def _word(query: Mapping[str, str], name: str, words: set[str]) -> str | None:
    word = query.get(name)
    if word is not None and word not in words:
        raise Invalid(f"Invalid {name} value: {word}. It must be one of {', '.join(sorted(words))}.")
    return word


def _comparison(name: str, text: str) -> tuple[str, datetime]:
    """``gt:2026-01-01T00:00:00Z``, or a time alone for ``eq``. To the second, in UTC."""
    operator, _, rest = text.partition(":")
    if operator not in _COMPARISONS:
        operator, rest = "eq", text
    try:
        return operator, as_utc(rest).replace(microsecond=0)
    except ValueError:
        raise Invalid(f'Bad "{name}" query filter format. Use ISO 8601 DateTime notation.') from None


def _sort(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, bool]]:
    """``sort=name:asc,size`` or ``sort_key=name&sort_dir=asc…``; the newest first where nothing is asked."""
    given = {name: [value.strip() for key, value in pairs if key == name] for name in ("sort_key", "sort_dir")}
    new_style = [value for name, value in pairs if name == "sort"]
    if new_style:
        if given["sort_key"] or given["sort_dir"]:
            raise Invalid("Old and new sorting syntax cannot be combined.")
        words = [word.partition(":") for word in new_style[-1].split(",")]
        keys, directions = [key.strip() for key, _, _ in words], [way.strip() or "desc" for _, _, way in words]
    else:
        keys, directions = given["sort_key"] or ["created_at"], given["sort_dir"] or ["desc"]
        if len(directions) == 1:
            directions *= len(keys)
    if len(keys) != len(directions):
        raise Invalid("Number of sort dirs does not match the number of sort keys.")
    for key, direction in zip(keys, directions, strict=True):
        if key not in SORT_KEYS:
            raise Invalid(f"Invalid sort key: {key}. It must be one of {', '.join(sorted(SORT_KEYS))}.")
        if direction not in ("asc", "desc"):
            raise Invalid(f"Invalid sort direction: {direction}.")
    first = dict(reversed([*zip(keys, directions, strict=True)]))  # one that is repeated says nothing more
    sort = [(key, first[key] == "asc") for key in dict.fromkeys(keys)]
    if "created_at" not in keys:
        sort.append(("created_at", sort[-1][1]))
    return sort

"""What a list leaves out: the filters in a query, as conditions on rows.

Cinder's rules. Up to 3.30 a tenant's unknown filters are ignored; from 3.31 they are refused, unless
they are among the resource's configured ones (``resource_filters``). An administrator may filter by anything;
what does not exist then matches nothing. From 3.34 ``name~=text`` finds the text anywhere in a name.
"""

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from pumice.api import booleans
from pumice.api.call import Call, Version
from pumice.api.paging import NOT_FILTERS
from pumice.api.times import as_utc
from pumice.model.errors import Invalid
from pumice.store.conditions import OPERATORS, Condition, Conditions, everything, nothing

CONFIGURED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "volume": (
            "name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id",
            "size", "created_at", "updated_at", "consumes_quota",
        ),
        "backup": ("name", "status", "volume_id"),
        "snapshot": ("name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"),
        "group": ("name",),
        "group_snapshot": ("name", "status", "group_id"),
        "attachment": ("volume_id", "status", "instance_id", "attach_status"),
        "message": ("resource_uuid", "resource_type", "event_id", "request_id", "message_level"),
        "pool": ("name", "volume_type"),
        "volume_type": ("is_public", "extra_specs"),
    }
)  # fmt: skip
"""What tenants may filter by, by kind of thing: Cinder's ``resource_filters.json``."""

Reader = Callable[[Conditions, str, Version], Condition]
"""Makes a condition of a filter's value."""


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of one kind of thing: how each is read, and which came later than 3.0."""

    resource: str
    on: Conditions
    readers: Mapping[str, Reader]
    like: Collection[str] = ()
    """Columns that may be asked for with ``~`` behind their names."""
    since: Mapping[str, Version] = field(default_factory=dict)
    besides: frozenset[str] = frozenset()
    """Words of its query that are no filters."""

    def parse_query(self, call: Call) -> list[Condition]:
        """The conditions that a query asks for. Raises ``Invalid``."""
        found: list[Condition] = []
        wanted = {key: value for key, value in call.query.items() if key not in NOT_FILTERS | self.besides}
        self._refuse_unknown(call, wanted)
        for key, value in wanted.items():
            name = key.removesuffix("~")
            if call.version < self.since.get(name, (0, 0)) or not self._allowed(call, name):
                continue
            if key != name and name in self.like and call.version >= (3, 34):
                found.append(self.on.contains(name, value))
            elif key == name and name in self.readers:
                found.append(self.readers[name](self.on, value, call.version))
            else:
                found.append(nothing())
        return found

    def _allowed(self, call: Call, name: str) -> bool:
        return call.who.is_admin or name in CONFIGURED[self.resource]

    def _refuse_unknown(self, call: Call, wanted: Mapping[str, str]) -> None:
        if any(not key.isascii() for key in wanted):
            raise Invalid("Filter keys can only contain ASCII characters.")
        if call.version < (3, 31):
            return
        like = call.version >= (3, 34)
        _refuse([key for key in wanted if not self._allowed(call, key.removesuffix("~") if like else key)])


def _refuse(unknown: Sequence[str]) -> None:
    if unknown:
        raise Invalid(f"Invalid filters {','.join(unknown)} are found in query options.")


def asks_for_all(call: Call) -> bool:
    """Whether an administrator asks for every project's."""
    return call.who.is_admin and "all_tenants" in call.query and booleans.flag(call, "all_tenants")


def unmet(call: Call, resource: str, *also: str, since: Version = (3, 31), admins_too: bool = False) -> bool:
    """Whether a list that is filtered by hand is asked for what nothing has: a filter that does not exist.

    ``also`` are words of its query that are no filters. Raises ``Invalid`` for tenants, who may use the
    configured ones alone (``admins_too``: and so may admins).
    """
    known = (*CONFIGURED[resource], *also)
    unknown = [key for key in call.query if key not in NOT_FILTERS and key not in known]
    if call.version >= since and (admins_too or not call.who.is_admin):
        _refuse(unknown)
    return bool(unknown) and call.who.is_admin


def plain(on: Conditions, columns: Mapping[str, str]) -> dict[str, Reader]:
    """Filters by name, each read as what its column holds."""
    readers = {str: text, int: number, bool: boolean, datetime: moment}
    return {name: readers[on.kind(column)](column) for name, column in columns.items()}


def literal(value: str) -> dict[str, str]:
    """Pairs as clients write them into a query: ``{'key': 'value'}``. Raises ``Invalid``."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid("Invalid input received: this filter has the form {'key': 'value'}.")
    return {str(key): str(word) for key, word in found.items()}


def text(column: str) -> Reader:
    """The column has this very text."""
    return lambda on, value, _: on.equals(column, value)


def number(column: str) -> Reader:
    """The column has this number; what is no number, or too large for one, matches nothing."""

    def read(on: Conditions, value: str, _: Version) -> Condition:
        is_number = value.isascii() and value.isdigit() and len(value) <= 18
        return on.equals(column, int(value)) if is_number else nothing()

    return read


def boolean(column: str) -> Reader:
    """The column has this boolean. Before 3.2 everything but ``false`` was true; since then words count."""

    def read(on: Conditions, value: str, version: Version) -> Condition:
        if version < (3, 2):
            return on.equals(column, value.lower() != "false")
        return on.equals(column, booleans.of_volume(column, value))

    return read


def pairs(column: str) -> Reader:
    """The column's object has every pair of this one: ``{'key': 'value'}``."""

    def read(on: Conditions, value: str, _: Version) -> Condition:
        condition = everything()
        for key, word in literal(value).items():
            condition &= on.holds(column, key, word)
        return condition

    return read


def moment(column: str) -> Reader:
    """Times by comparison: ``gt:2026-01-31T12:00:00,lte:…``."""

    def read(on: Conditions, value: str, _: Version) -> Condition:
        condition = everything()
        for part in value.split(","):
            operator, _colon, written = part.partition(":")
            if operator not in OPERATORS:
                raise Invalid(f"Invalid {operator} operator")
            try:
                condition &= on.when(column, operator, as_utc(written))
            except ValueError:
                raise Invalid(f"Invalid {written} value") from None
        return condition

    return read


def always(answer: bool) -> Reader:
    """A boolean that is the same for every row: everything here consumes quota."""

    def read(on: Conditions, value: str, _: Version) -> Condition:
        wrong = f"Invalid input received: {value!r} is not a boolean."
        return everything() if booleans.word(value, wrong) is answer else nothing()

    return read


def none(_on: Conditions, _value: str, _version: Version) -> Condition:
    """A filter by what no row has: groups, migrations."""
    return nothing()

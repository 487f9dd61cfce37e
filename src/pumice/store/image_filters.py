"""Conditions on images, for lists: what ``images.page`` takes as ``filters``."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from pumice.store.json_columns import has_entry, has_pair
from pumice.store.tables import images

Condition = sa.ColumnElement[bool]

_i = images.c


def one_of(column: str, values: Collection[object]) -> Condition:
    """The column has one of the values."""
    return _i[column].in_(list(values))


def at_least(column: str, value: int) -> Condition:
    """The column is known and not smaller."""
    return _i[column] >= value


def at_most(column: str, value: int) -> Condition:
    """The column is known and not larger."""
    return _i[column] <= value


def when(column: str, operator: str, second: datetime) -> Condition:
    """Compare a time by ``eq``, ``neq``, ``gt``, ``gte``, ``lt`` or ``lte``.

    Clients know times in whole seconds, so that is how they compare: an image shown as created at a second
    was created *at* it, whatever the microseconds that are stored.
    """
    time, last = _i[column], second.replace(microsecond=999_999)
    match operator:
        case "gt":
            return time > last
        case "gte":
            return time >= second
        case "lt":
            return time < second
        case "lte":
            return time <= last
        case "neq":
            return sa.or_(time < second, time > last)
        case _:
            return sa.and_(time >= second, time <= last)


def tagged(tag: str) -> Condition:
    """The image has the tag."""
    return has_entry(_i.tags, tag)


def with_property(name: str, value: str) -> Condition:
    """The image has the custom property with this value."""
    return has_pair(_i.properties, name, value)

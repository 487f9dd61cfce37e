"""The types of columns, the same on every database.

What cannot be read, because a disk or a hand has written something else, costs nobody but who needs that very
value: an object or a list is empty then, a time is ``NO_TIME``, ``is_unread`` tells. The audit names the row.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from pumice.model import export
from pumice.model.connector import Connector
from pumice.store.clock import now as now

NO_TIME = datetime(1, 1, 1)
WORD_LENGTH = 64
NO_CONNECTOR = Connector()
_STAND_INS = (NO_TIME, NO_CONNECTOR, export.UNREAD)


class UnreadObject(dict[str, Any]):
    """Stands for an object that cannot be read: whatever is asked of it is None."""

    def __missing__(self, key: str) -> None:
        return None


class UnreadList(list[Any]):
    """Stands for a list that cannot be read."""


def is_unread(value: object) -> bool:
    """Whether this stands for what cannot be read."""
    return isinstance(value, UnreadObject | UnreadList) or any(value is it for it in _STAND_INS)


def loads(text: str | bytes) -> Any:
    """JSON as a value; what no value is if it is not JSON."""
    try:
        return orjson.loads(text)
    except ValueError:
        return Ellipsis


class Json(TypeDecorator[Any]):
    """An object, or a list; ``loads`` is the dialect's."""

    impl = sa.JSON
    cache_ok = True

    def __init__(self, shape: type = dict) -> None:
        super().__init__()
        self.shape = shape

    @property
    def python_type(self) -> type:
        """The type of a value: an object or a list."""
        return self.shape

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Compare with values as the underlying type does."""
        return self.impl_instance.coerce_compared_value(op, value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read a value, or tell what stands for it."""
        read, shape = super().result_processor(dialect, coltype), self.shape
        stand_in = UnreadList if shape is list else UnreadObject

        def careful(stored: Any) -> Any:
            value = stored if read is None else read(stored)
            return value if value is None or isinstance(value, shape) else stand_in()

        return careful


class Stored(Protocol):
    """A value that is kept as an object of JSON."""

    def to_row(self) -> dict[str, object]:
        """The value as a row stores it."""


class Parsed(Json):
    """A value of ``model``, kept as an object; ``stand_in`` for what cannot be read."""

    cache_ok = True

    def __init__(self, of_row: Callable[[Mapping[str, Any]], Stored], stand_in: Stored) -> None:
        super().__init__()
        self.of_row = of_row
        self.stand_in = stand_in

    def process_bind_param(self, value: Stored | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """The value as the driver is given it."""
        return None if value is None else value.to_row()

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read a value, or tell what stands for it."""
        read, of_row, stand_in = super().result_processor(dialect, coltype), self.of_row, self.stand_in

        def parsed(stored: Any) -> Stored | None:
            row = read(stored)
            if row is None:
                return None
            return stand_in if is_unread(row) else of_row(row)

        return parsed


class State(TypeDecorator[str]):
    """A word of a status; a word that this version does not know stays what it is."""

    impl = sa.String
    cache_ok = True
    python_type = str

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__(WORD_LENGTH)
        self.words = words

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """Read a word."""
        known: dict[str | None, Any] = {word.value: word for word in self.words}
        return lambda stored: known.get(stored, stored)


class Time(TypeDecorator[datetime]):
    """UTC, without a zone."""

    impl = sa.DateTime
    cache_ok = True
    python_type = datetime

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read a value, or tell what stands for it."""
        read = super().result_processor(dialect, coltype)
        if read is None:
            return None

        def careful(stored: Any) -> datetime | None:
            try:
                found: datetime | None = read(stored)
            except (TypeError, ValueError):
                return NO_TIME
            return found

        return careful


class Number(TypeDecorator[float]):
    """A moment or a share; SQLite would keep anything, and what is no number there is never."""

    impl = sa.Float
    cache_ok = True
    python_type = float

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Read a value, or tell what stands for it."""
        if dialect.name != "sqlite":
            return super().result_processor(dialect, coltype)
        return lambda stored: stored if isinstance(stored, float | int | None) else math.inf


ID = sa.String(36)
NAME = sa.String(255)
WORD = sa.String(WORD_LENGTH)
TIME = Time()
JSON = Json()
JSON_LIST = Json(list)
NUMBER = Number()
CONNECTOR = Parsed(Connector.of_row, NO_CONNECTOR)
EXPORT = Parsed(export.of_row, export.UNREAD)

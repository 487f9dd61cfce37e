"""The hint ``query``: what a tenant wants to hold for the pool, as a condition in JSON.

The grammar of Cinder's JsonFilter: ``["and", [">=", "$free_capacity_gb", 9], ["=", "$host", "a@b"]]``. A list
is a command and what it is about; a text that begins with ``$`` is what the pool has under that name, ``$a.b``
what is under ``b`` in ``a``, and what a pool does not have is left out.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from pumice.scheduler.functions import Malformed

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def holds(query: str, names: Mapping[str, object]) -> bool:
    """Whether the condition is true of what ``names`` says. Raises ``Malformed``."""
    try:
        value = _value(orjson.loads(query), names)
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed(f"{query!r}: {error}") from error
    return any(value) if isinstance(value, list) else bool(value)


def _value(asked: Any, names: Mapping[str, object]) -> Any:
    if not asked:
        return True
    if not isinstance(asked, list):
        raise Malformed("A query is a list.")
    read = [_argument(each, names) for each in asked[1:]]
    return _command(asked[0], [each for each in read if each is not None])


def _argument(asked: Any, names: Mapping[str, object]) -> Any:
    if isinstance(asked, list):
        return _value(asked, names)
    if not isinstance(asked, str) or not asked.startswith("$"):
        return asked if asked != "" else None
    found: Any = names
    for part in asked[1:].split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _command(name: Any, values: Sequence[Any]) -> Any:
    match name:
        case "not":
            return [not value for value in values]
        case "or":
            return any(values)
        case "and":
            return all(values)
        case "in":
            return len(values) > 1 and values[0] in values[1:]
        case str() if name in _COMPARE:
            return len(values) > 1 and all(_COMPARE[name](values[0], value) for value in values[1:])
    raise Malformed(f"{name!r} is no command.")

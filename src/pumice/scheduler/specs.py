"""Extra specs: does a capability's value meet what a volume type asks for?

The operators are Cinder's (admin guide, "Configure capability filters"): numbers with ``=`` (at least), ``==``,
``!=``, ``>=``, ``<=``; strings with ``s==``, ``s!=``, ``s<``, ``s<=``, ``s>``, ``s>=``; ``<in>``, ``<is>`` (a
boolean) and ``<or>``. Without an operator the texts must be equal, whatever their case.
"""

import operator
from collections.abc import Callable

from pumice.model.booleans import is_true

_NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
_STRINGS: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s<": operator.lt,
    "s<=": operator.le,
    "s>": operator.gt,
    "s>=": operator.ge,
}


def matches(value: str, wanted: str) -> bool:
    """Whether the capability ``value`` meets the extra spec ``wanted``."""
    words = wanted.split()
    if not words:
        return value == ""
    first, rest = words[0], words[1:]
    if first == "<or>":
        return value in " ".join(rest).replace(" <or> ", "\0").split("\0")
    if first == "<in>":
        return bool(rest) and all(word in value for word in rest if word != "<in>")
    if first == "<is>":
        return bool(rest) and is_true(rest[0]) == is_true(value)
    if first in _STRINGS and rest:
        return _STRINGS[first](value, rest[0])
    if first in _NUMBERS and rest:
        try:
            return _NUMBERS[first](float(value), float(rest[0]))
        except ValueError:
            return False
    return value.lower() == wanted.lower()

"""The words for yes and no that clients send, in bodies and in queries, to every API."""

from typing import Any

from pumice.api.call import Call
from pumice.model.errors import Invalid

_TRUE = frozenset({"true", "1", "on", "yes", "y", "t"})
_FALSE = frozenset({"false", "0", "off", "no", "n", "f"})


def truth(value: Any) -> bool:
    """The truth value that a word or a JSON boolean stands for. Raises ``ValueError``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE:
        return True
    if isinstance(value, str) and value.lower() in _FALSE:
        return False
    raise ValueError(f"{value!r} is not a boolean")


def flag(call: Call, name: str) -> bool:
    """A truth value in the query. Raises ``Invalid``."""
    text = call.query.get(name)
    if text is None:
        return False
    try:
        return truth(text)
    except ValueError:
        raise Invalid(f"Value '{text}' for '{name}' is not a boolean.") from None

"""The words for yes and no that OpenStack's services read (oslo.utils, ``strutils.bool_from_string``)."""

from typing import Any

TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE = frozenset({"0", "f", "false", "off", "n", "no"})


def is_true(text: str) -> bool:
    """Whether it is a word for yes; whatever else it is counts as no."""
    return text.strip().lower() in TRUE


def boolean(value: Any) -> bool:
    """What a word or a JSON boolean stands for. Raises ``ValueError`` for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise ValueError(f"{value!r} is not a boolean")

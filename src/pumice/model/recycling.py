"""How long what is deleted is kept in the recycle bin, as projects and volume types say it."""

import math
from collections.abc import Mapping

from pumice.model.errors import Invalid

DAYS = "pumice:recycle_days"
"""The property of a project, and the extra spec of a volume type, that says how many days; 0 is not at all."""
MOST_DAYS = 3650.0


def days(said: Mapping[str, object]) -> float | None:
    """What is said of it, if anything that makes sense is: a row may be older than the rule."""
    word = said.get(DAYS)
    if isinstance(word, bool) or not isinstance(word, str | int | float):
        return None
    try:
        found = float(word)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0 <= found <= MOST_DAYS else None


def refuse_senseless(said: Mapping[str, object]) -> None:
    """Raises ``Invalid`` for what is no such number of days; null takes back what was said."""
    if said.get(DAYS) is not None and days(said) is None:
        raise Invalid(
            f"Invalid input received: '{DAYS}' is a number of days from 0 to {MOST_DAYS:.0f}, and not "
            f"'{str(said[DAYS])[:50]}'."
        )

"""The names of hosts, clusters, backends and pools: a pool's whole name is ``host@backend#pool``."""

from typing import Annotated

from pydantic import AfterValidator

FORBIDDEN = "@#:/ "
"""What stands between names."""
LONGEST = 80
"""Characters of each, so that a whole name fits where it is kept: in 255, and in the name of a file."""


def place_name(text: str) -> str:
    """The name itself. Raises ``ValueError`` when it cannot be one."""
    if not text.isprintable():
        raise ValueError(f"{text!r} has what cannot be printed")
    if not text or set(text) & set(FORBIDDEN):
        raise ValueError(f"{text!r} is empty or has one of '{FORBIDDEN}', which stand between names")
    if len(text) > LONGEST:
        raise ValueError(f"'{text[:20]}…' is longer than {LONGEST} characters")
    return text


PlaceName = Annotated[str, AfterValidator(place_name)]

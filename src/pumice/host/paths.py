"""Paths as settings give them. An empty one is refused: for Python it is the directory that one stands in."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

__all__ = ["GivenPath"]


def _not_empty(given: object) -> object:
    if given == "":
        raise PydanticCustomError("empty_path", "an empty path leads nowhere: name one, or leave this out")
    return given


GivenPath = Annotated[Path, BeforeValidator(_not_empty)]
"""A path that is not empty."""

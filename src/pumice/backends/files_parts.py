"""Files that are not whole yet: ``<pool>/.parts/<shelf>/.<id>.<n>.part``, apart from those that are.

Each call looks for what an earlier one for the same id has left: among the whole files it would go through all
their names. Versions before kept them there: an inventory finds those, too, and what is asked to go goes.

Runs in threads. ``path`` is that of the whole file.
"""

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

DIRECTORY = ".parts"
_NAME = re.compile(r"\.([^.]+)\.[^.]+\.part")


def directory(shelf: Path) -> Path:
    """Where the parts of a shelf's files are."""
    return shelf.parent / DIRECTORY / shelf.name


def new(path: Path) -> Path:
    """A name that no call before has had."""
    return directory(path.parent) / f".{path.name}.{secrets.token_hex(4)}.part"


def left(path: Path) -> list[Path]:
    """What calls before have left."""
    return list(directory(path.parent).glob(f".{path.name}.*.part"))


def left_anywhere(path: Path) -> list[Path]:
    """What calls before have left, those of versions before as well: as slow as the shelf is full."""
    return [*left(path), *path.parent.glob(f".{path.name}.*.part")]


def ids(shelf: Path, names: list[str]) -> Iterator[str]:
    """Whose parts there are, where these are the names on the shelf."""
    beside = os.listdir(apart) if (apart := directory(shelf)).is_dir() else []
    return (part[1] for name in (*beside, *names) if (part := _NAME.fullmatch(name)))

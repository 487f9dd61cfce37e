"""What commands print: tables for a person, JSON for a program."""

import re
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Timer
from typing import IO, cast

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

SHORT = 8
"""Characters of an id that are shown: enough to tell a few thousand apart, and to name one by."""
_BLANKS = re.compile(r"[ ]+(?=\n|$)")
SILENT_SECONDS = 1.0
"""Seconds after which a command says what it waits for."""


def console() -> Console:
    """A console as wide as the terminal. Lines that are piped into something are never cut, nor filled up."""
    found = Console(highlight=False)
    if found.is_terminal:
        return found
    return Console(highlight=False, width=1000, file=cast("IO[str]", _Unpadded()))


class _Unpadded:
    """Standard output without the blanks at the ends of lines."""

    def write(self, text: str) -> int:
        """Print it."""
        return sys.stdout.write(_BLANKS.sub("", text))

    def flush(self) -> None:
        """Print it now."""
        sys.stdout.flush()


def table(*columns: str, whole: Collection[str] = ()) -> Table:
    """A table without lines, whose words are folded and never cut; not even folded in the ``whole`` columns."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in whole)
    return made


def when(stored: datetime | None) -> str:
    """A time of the database on this machine's clock: of today the hour, of long ago the day."""
    if stored is None:
        return ""
    at = stored.replace(tzinfo=UTC).astimezone()
    is_near = abs(datetime.now(UTC) - at) < timedelta(hours=20)
    return f"{at:%H:%M:%S}" if is_near else f"{at:%Y-%m-%d}"


def short(known: str, wide: bool) -> str:
    """The first characters of an id, which commands take for the whole; all of it in a wide table."""
    return known if wide else known[:SHORT]


def plain(value: object, style: str = "") -> Text:
    """Text in which Rich's own markup means nothing."""
    return Text(str(value), style)


def print_json(value: object) -> None:
    """Print a JSON document; times are UTC."""
    # The columns of a row are named by a subclass of str, which orjson otherwise refuses as a key.
    option = orjson.OPT_INDENT_2 | orjson.OPT_NAIVE_UTC | orjson.OPT_NON_STR_KEYS
    print(orjson.dumps(value, option=option, default=str).decode())


@contextmanager
def waiting_is_told(words: str) -> Iterator[None]:
    """Say, to the person at the terminal, what is waited for when that takes longer than a second."""
    saying = Timer(SILENT_SECONDS, lambda: print(words, file=sys.stderr, flush=True))
    saying.start()
    try:
        yield
    finally:
        saying.cancel()

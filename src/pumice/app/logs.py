"""Structured logs: one event per line, with the request's and the operation's ids."""

import contextlib
import io
import logging
import os
import sys
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from pumice.app.settings import Settings
from pumice.host import loggers
from pumice.host.durable import give
from pumice.model.errors import Misconfigured


class Sink(io.TextIOBase):
    """Standard error as it is at the moment of writing, or a file; a line that cannot be written is dropped.

    A reader of the log that goes away, or a full disk under it, must not fail what is being logged.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file = -1

    def use(self, path: Path | None) -> None:
        """Write to this file from now on, opened anew even if it is the one in use. Raises ``OSError``."""
        opened = -1 if path is None else _opened(path)
        self._file, before, self._path = opened, self._file, path
        if before != -1:
            os.close(before)

    def open_again(self) -> None:
        """Write to a file of the same name: the one in use may have been moved away. Raises ``OSError``."""
        self.use(self._path)

    def write(self, text: str) -> int:
        """Write what can be written, at once: several processes may write to one file."""
        with contextlib.suppress(OSError, ValueError):
            if self._file == -1:
                sys.stderr.write(text)
            else:
                os.write(self._file, text.encode())
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def _opened(path: Path) -> int:
    """The file, made if need be for whom its directory belongs to: units of several accounts write to it."""
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    if os.fstat(opened).st_size == 0:
        give(path, path.parent)
    return opened


_sink = Sink()


class _Writer(structlog.WriteLogger):
    """Writes what a logger says; its name is one of the standard library's tree, which has the levels."""

    def __init__(self, name: str = loggers.OURS) -> None:
        super().__init__(cast("TextIO", _sink))
        self.name = name


def _filtering(writer: _Writer, **bound: Any) -> Any:
    """A logger that lets through what its name's level does at this moment."""
    level = logging.getLogger(writer.name).getEffectiveLevel()
    kind: Any = structlog.make_filtering_bound_logger(level)
    return kind(writer, **bound)


def open_again() -> None:
    """Go on in a new file, if there is one; told in the old one when that cannot be."""
    try:
        _sink.open_again()
    except OSError as error:
        structlog.get_logger(__name__).error("log_file.refused", error=error.strerror, file=error.filename)


def set_up(settings: Settings) -> None:
    """Send every log line, ours and the libraries', to one place in one form. May be done again.

    Raises ``Misconfigured`` when the file cannot be written.
    """
    try:
        _sink.use(settings.log_file)
    except OSError as error:
        raise Misconfigured(f"The log_file {error.filename} cannot be written: {error.strerror}.") from None
    level = getattr(logging, settings.log_level.upper())
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and settings.log_file is None and sys.stderr.isatty()
    )
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=cast("type[structlog.BoundLogger]", _filtering),
        logger_factory=_Writer,
        cache_logger_on_first_use=False,  # the level may change; a microsecond for each call
    )
    logging.basicConfig(stream=_sink, level=max(level, logging.WARNING), format="%(name)s: %(message)s")
    loggers.restore()
    logging.getLogger().setLevel(max(level, logging.WARNING))
    logging.getLogger(loggers.OURS).setLevel(level)

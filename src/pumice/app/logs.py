"""Structured logs: one event per line, with the request's and the operation's ids."""

import contextlib
import io
import logging
import sys
from typing import TextIO, cast

import structlog

from pumice.app.settings import Settings


class StandardError(io.TextIOBase):
    """Standard error as it is at the moment of writing; a line that cannot be written is dropped.

    A reader of the log that goes away, or a full disk under it, must not fail what is being logged.
    """

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def set_up(settings: Settings) -> None:
    """Send every log line, ours and the libraries', to standard error in one form. May be done again."""
    level = getattr(logging, settings.log_level.upper())
    as_text = settings.log_format == "text" or (settings.log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", StandardError())),
        cache_logger_on_first_use=False,  # the level may change; a microsecond for each call
    )
    logging.basicConfig(
        stream=StandardError(), level=max(level, logging.WARNING), format="%(name)s: %(message)s"
    )
    logging.getLogger().setLevel(max(level, logging.WARNING))

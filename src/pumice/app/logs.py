"""Structured logs: one event per line, with the request's and the operation's ids.

Nobody waits for the log. A line is put into a queue, and a thread of its own writes it; a disk, or a reader of
standard error, that hangs holds that thread alone. What does not fit into the queue is dropped, counted, and
told in one line as soon as it moves again. A process that ends waits a moment for what is left; one that is
killed loses what was queued: the last hundredths of a second, unless something hangs.
"""

import atexit
import contextlib
import io
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from pumice.app.settings import Settings
from pumice.host import loggers
from pumice.host.durable import give
from pumice.model.errors import Misconfigured

MOST_LINES = 10_000
"""How many lines wait to be written."""
AT_ONCE = 65_536
"""Characters of lines that are written to a file at once, and no more to standard error than…"""
INTO_A_PIPE = 4096
"""…a pipe of several writers takes without tearing a line (``PIPE_BUF``)."""
GATHER_SECONDS = 0.01
"""How long lines are gathered: to wake a thread for each would cost more than to write it."""
OPEN_SECONDS = 2.0
"""How long to wait for a file to be opened; then it is opened when its disk is back."""
END_SECONDS = 2.0
"""How long a process that ends waits for its last lines."""


Job = str | Callable[[], None]
"""A line to write, or what is to be done between two of them."""


class Sink(io.TextIOBase):
    """Standard error as it is at the moment of writing, or a file; a line that cannot be written is dropped.

    A reader of the log that goes away, or a full disk under it, must not fail what is being logged; one that
    hangs must not hold it up.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file = -1
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        """Without lines and without a thread: what forks keeps its own."""
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()
        self._lost = 0
        self._thread: threading.Thread | None = None
        self._is_awake = False
        """Whether the thread will look for what is queued now."""
        self._wake, self._hurry = threading.Semaphore(0), threading.Event()

    def use(self, path: Path | None) -> None:
        """Write to this file from here on, opened anew even if it is the one in use. Raises ``OSError``.

        On a disk that hangs it is opened when that is back.
        """
        failed: list[OSError] = []

        def change() -> None:
            try:
                self._change(path)
            except OSError as error:
                failed.append(error)

        if path or self._thread:
            self._in_turn(change, OPEN_SECONDS)
        else:
            change()
        if failed:
            raise failed[0]

    def open_again(self) -> None:
        """Write to a file of the same name from here on: the one in use may have been moved away."""
        self._put(self._change_again)

    def write(self, text: str) -> int:
        """Have it written, whole: several processes may write to one file."""
        if len(self._jobs) < MOST_LINES:
            self._put(text)
        else:
            with self._lock:
                self._lost += 1
        return len(text)

    def flush(self) -> None:
        """Nobody waits for a line."""

    def end(self) -> None:
        """Wait until all is written, for a moment at most."""
        if self._thread:
            self._in_turn(lambda: None, END_SECONDS)

    def _in_turn(self, work: Callable[[], None], seconds: float) -> None:
        """Have something done after what is queued, and wait for it, for so long at most."""
        done = threading.Event()

        def job() -> None:
            work()
            done.set()

        self._hurry.set()
        self._put(job)
        done.wait(seconds)

    def _put(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._is_awake:
            self._is_awake = True
            self._wake.release()
            self._begin()

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="log", daemon=True)
                self._thread.start()

    # --- in the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while self._wake.acquire():
            self._hurry.wait(GATHER_SECONDS)
            self._hurry.clear()
            self._is_awake = False
            while self._jobs:
                job = self._jobs.popleft()
                if isinstance(job, str):
                    self._put_out(self._gathered(job))
                    self._tell_lost()
                else:
                    job()

    def _gathered(self, text: str) -> str:
        """A line and what is queued after it, as far as it is written at once."""
        lines, room = [text], (INTO_A_PIPE if self._file == -1 else AT_ONCE) - len(text)
        while self._jobs and isinstance(job := self._jobs[0], str) and len(job) <= room:
            lines.append(job)
            room -= len(job)
            self._jobs.popleft()
        return "".join(lines)

    def _put_out(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._file != -1:
                os.write(self._file, text.encode())
            elif (descriptor := _descriptor(sys.stderr)) is not None:
                os.write(descriptor, text.encode())  # past its buffer, whose lock whoever prints would wait for
            else:
                sys.stderr.write(text)

    def _tell_lost(self) -> None:
        """Told in a line like any other, as soon as there is room for it again."""
        if self._lost and len(self._jobs) < MOST_LINES // 2:
            with self._lock:
                lost, self._lost = self._lost, 0
            structlog.get_logger(__name__).error("log.lost", lines=lost, why="not written in time")

    def _change(self, path: Path | None) -> None:
        opened = -1 if path is None else _opened(path)
        self._file, before, self._path = opened, self._file, path
        if before != -1:
            os.close(before)

    def _change_again(self) -> None:
        try:
            self._change(self._path)
        except OSError as error:
            structlog.get_logger(__name__).error("log_file.refused", error=error.strerror, file=error.filename)


def _descriptor(stream: TextIO) -> int | None:
    """The file descriptor of a stream; None where it has none."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _opened(path: Path) -> int:
    """The file, made if need be for whom its directory belongs to: units of several accounts write to it."""
    opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    if os.fstat(opened).st_size == 0:
        give(path, path.parent)
    return opened


_sink = Sink()
end = atexit.register(_sink.end)
"""Wait for the last lines: for who ends the process without Python's own end."""


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
    _sink.open_again()


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

"""What was committed of the log, as it is known beside the database: by each host, and where the bytes are.

A database that was restored from a backup does not know what came after it. What was under way then has gone on
since, and would go on once more: write again what was written then, over what came since. So each worker notes
what it has committed, and asks what was noted before it takes up an operation that was there before::

    STATE_DIR/witness/HOST/2026-11-27.lines            of all that this host did
    POOL/.pumice-witness/HOST/2026-11-27.lines         of what was done at a pool's backend, by whichever host

The second is there although a state directory was restored as a whole, and tells each host of a cluster what
the others did. Whose storage holds no files has the first alone.

A line is appended, never changed, by one process of a host's name at a time; who reads reads all hosts'. The
files are safe against ``kill -9``; a power cut may cost the last moments. Losing them costs the protection,
and nothing else.
"""

import asyncio
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import structlog

from pumice.host import durable
from pumice.model.errors import Retryable
from pumice.store.columns import now

logger = structlog.get_logger(__name__)

DIRECTORY = "witness"
"""The directory of the state directory with one of these for each host."""
WITH_BYTES = ".pumice-witness"
"""The directory of a pool with one of these for each host."""
KEEP_DAYS = 90
"""How old a backup of the database may be for what was under way in it to be recognised."""
ANSWER_SECONDS = 30.0
NOTED_SECONDS = 0.5
"""How long to stand still for a note, which takes a ten-thousandth of that unless the disk hangs."""
CLOSED_SECONDS = 5.0
BLOCK = 4 * 1024**2
"""Bytes that are read at once."""

_ENDS = ".lines"
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


class Witness:
    """The lines of operations that were noted in a directory, by ``host`` and by others.

    A thread of its own reads and writes them. It is a daemon: a disk that hangs keeps no process from ending.
    """

    def __init__(self, directory: Path, host: str) -> None:
        self._directory, self._own = directory, directory / host
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._hangs = self._fails = False
        self._thread = threading.Thread(target=self._work, name="witness", daemon=True)

    def open(self) -> None:
        """Begin."""
        self._jobs.put(self._prune)
        self._thread.start()

    def note(self, operation_id: str, line: str) -> threading.Event:
        """Have it noted that a line of an operation was committed; the event tells when it is."""
        noted = threading.Event()

        def write() -> None:
            try:
                self._append(f"{operation_id} {line}\n".encode(), line[:10])
                self._fails = False
            finally:
                self._hangs = False
                noted.set()

        self._jobs.put(write)
        return noted

    def wait_for(self, noted: threading.Event) -> None:
        """Stand still until it is noted, unless the disk hangs; then it is noted when that is back."""
        self._hangs = self._hangs or not noted.wait(NOTED_SECONDS)

    async def last_line(self, operation_id: str, since: datetime, seconds: float) -> str | None:
        """The last line of an operation that began then; None if none was noted.

        Raises ``Retryable`` when the disk does not answer within ``seconds``.
        """
        found = Future[str | None]()

        def read() -> None:
            if not found.set_running_or_notify_cancel():
                return
            try:
                found.set_result(self._find(operation_id, since))
            except OSError as error:
                found.set_exception(
                    Retryable("The witness cannot be read.", f"{self._directory}: {error.strerror}.")
                )

        self._jobs.put(read)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(found)
        except TimeoutError:
            raise Retryable("The witness does not answer.", f"{self._directory}.") from None

    def close(self) -> None:
        """Write what is left, if that does not take long."""
        self._jobs.put(None)
        self._thread.join(NOTED_SECONDS if self._hangs else CLOSED_SECONDS)

    # --- in the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except OSError as error:
                if not self._fails:
                    logger.error("witness.fails", directory=str(self._directory), error=error.strerror)
                self._fails = True

    def _append(self, line: bytes, day: str) -> None:
        """Write a line and close the file: the disk may be unmounted; an NFS tells others what was closed."""
        path = self._own / f"{day}{_ENDS}"
        try:
            file = os.open(path, _APPEND)
        except FileNotFoundError:
            file = self._begin(path)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def _begin(self, path: Path) -> int:
        for directory in (self._directory, self._own):  # none above: what is not mounted is not made
            directory.mkdir(mode=0o700, exist_ok=True)
            durable.give(directory, self._directory.parent)
        file = os.open(path, _APPEND | os.O_CREAT, 0o600)
        durable.give(path, self._directory.parent)
        return file

    def _find(self, operation_id: str, since: datetime) -> str | None:
        name = operation_id.encode()
        line = re.compile(rb"%s ([0-9T:.+-]{19,32})\n" % re.escape(name))
        first = f"{since - timedelta(days=1):%Y-%m-%d}{_ENDS}"
        last = b""
        for path in self._directory.glob(f"*/*{_ENDS}"):
            if path.name >= first:
                with path.open("rb") as file:
                    while block := file.read(BLOCK) + file.readline():
                        if name in block:  # in most it is not, and this tells four times as soon
                            last = max([last, *line.findall(block)])
        return last.decode() or None

    def _prune(self) -> None:
        oldest = f"{now() - timedelta(days=KEEP_DAYS):%Y-%m-%d}{_ENDS}"
        for path in self._own.glob(f"*{_ENDS}"):
            if path.name < oldest:
                path.unlink(missing_ok=True)


class Witnesses:
    """The witnesses of a process: its host's own, and those ``beside`` the bytes of each place."""

    def __init__(self, own: Witness, beside: Mapping[str, Sequence[Witness]]) -> None:
        self._own = own
        self._beside = beside

    def open(self) -> None:
        """Begin."""
        for it in self._all():
            it.open()

    def close(self) -> None:
        """Write what is left, if that does not take long."""
        for it in self._all():
            it.close()

    def note(self, place: str, operation_id: str, line: str) -> None:
        """A line of an operation was committed there: that is noted before anybody can hear of it from here."""
        for it, noted in [(it, it.note(operation_id, line)) for it in self._at(place)]:
            it.wait_for(noted)

    async def last_line(self, place: str, operation_id: str, since: datetime, seconds: float) -> str | None:
        """The last line that was noted of an operation which is there, and began then. Raises ``Retryable``."""
        lines = [await it.last_line(operation_id, since, seconds) for it in self._at(place)]
        return max(filter(None, lines), default=None)

    def _at(self, place: str) -> Sequence[Witness]:
        return (self._own, *self._beside.get(place, ()))

    def _all(self) -> Sequence[Witness]:
        return (self._own, *(it for some in self._beside.values() for it in some))

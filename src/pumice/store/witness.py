"""What a host itself knows of the log: the last line that it wrote of each operation, beside the database.

A database that was restored from a backup does not know what came after it. What was under way then has gone on
since, and would go on once more: write again what was written then, over what came since. So each worker notes,
in a file of its own, what it has committed, and asks it before it takes up an operation that was there before.

The file is never restored with the database, and is safe against ``kill -9``; a power cut may cost it the last
moments. Losing it costs the protection, and nothing else.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import structlog

from pumice.host import durable
from pumice.model.errors import Retryable

logger = structlog.get_logger(__name__)

DIRECTORY = "witness"
"""The directory of the state directory with one of these for each host."""
KEEP_DAYS = 90
"""How old a backup of the database may be for what was under way in it to be recognised."""
ANSWER_SECONDS = 5.0
NOTED_SECONDS = 0.5
"""How long to stand still for a note, which takes a ten-thousandth of that unless the disk hangs."""

_TABLE = "CREATE TABLE IF NOT EXISTS lines (operation_id TEXT PRIMARY KEY, line TEXT, at REAL) WITHOUT ROWID"
_PUT = "INSERT OR REPLACE INTO lines VALUES (?, ?, ?)"
_FIND = "SELECT line FROM lines WHERE operation_id = ?"
_PRUNE = "DELETE FROM lines WHERE at < ?"


class Witness:
    """The last lines of operations, by their ids, in a directory.

    A thread of its own reads and writes them. It is a daemon: a disk that hangs keeps no process from ending.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lines.db"
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._file: sqlite3.Connection | None = None
        self._hangs = False
        self._thread = threading.Thread(target=self._work, name="witness", daemon=True)

    def open(self) -> None:
        """Make the file ready, so that no note has to wait for that."""
        self._jobs.put(self._opened)
        self._thread.start()

    def note(self, operation_id: str, line: str) -> None:
        """A line of an operation was committed: that is noted before anybody can hear of it from here.

        Unless the disk hangs; then it is noted when that is back.
        """
        noted = threading.Event()

        def write() -> None:
            with self._opened() as file:
                file.execute(_PUT, (operation_id, line, time.time()))
            self._hangs = False
            noted.set()

        self._jobs.put(write)
        self._hangs = self._hangs or not noted.wait(NOTED_SECONDS)

    async def last_line(self, operation_id: str) -> str | None:
        """The last line of an operation that was committed here; None if none was. Raises ``Retryable``."""
        loop, answer = asyncio.get_running_loop(), asyncio.Future[str | None]()

        def tell(line: str | None) -> None:
            if not answer.done():
                answer.set_result(line)

        def read() -> None:
            row = self._opened().execute(_FIND, (operation_id,)).fetchone()
            loop.call_soon_threadsafe(tell, row[0] if row else None)

        self._jobs.put(read)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise Retryable(f"{self._path} does not answer.") from None

    def close(self) -> None:
        """Write what is left, if that does not take long."""
        self._jobs.put(None)
        self._thread.join(NOTED_SECONDS if self._hangs else ANSWER_SECONDS)

    # --- in the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except (sqlite3.Error, OSError) as error:
                logger.error("witness.fails", file=str(self._path), error=str(error))
        if self._file is not None:
            self._file.close()

    def _opened(self) -> sqlite3.Connection:
        if self._file is None:
            try:
                self._file = self._open()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                logger.exception("witness.torn", file=str(self._path), now="it begins anew")
                self._path.replace(self._path.with_suffix(".torn"))
                self._file = self._open()
        return self._file

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            home = self._path.parent
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            for made in (home.parent, home, self._path):
                durable.give(made, home.parent.parent)
        file = sqlite3.connect(self._path, check_same_thread=False)
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        with file:
            file.execute(_TABLE)
            file.execute(_PRUNE, (time.time() - KEEP_DAYS * 86400,))
        return file

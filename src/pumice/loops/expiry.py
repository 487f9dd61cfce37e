"""Forget what is kept only for a while: ended operations, messages, tombstones."""

from dataclasses import dataclass

from pumice.store import messages, operations, tombstones
from pumice.store.database import Database, Transaction

SECONDS = 300.0
DAY = 86_400.0
TOMBSTONE_DAYS = 90.0
"""Days that a tombstone is kept: no worker is woken, and no database restored, after longer than that."""


@dataclass(slots=True)
class Expiry:
    """A little at a time, so that no request waits long."""

    db: Database
    keep_days: float

    async def sweep(self) -> None:
        """Forget once what has expired."""

        def work(tx: Transaction) -> int:
            messages.expire(tx)
            return operations.prune(tx, self.keep_days * DAY) + tombstones.prune(tx, TOMBSTONE_DAYS * DAY)

        while await self.db.write(work):
            pass

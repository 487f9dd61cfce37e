"""Forget what is kept only for a while: ended operations and messages."""

from dataclasses import dataclass

from pumice.store import messages, operations
from pumice.store.database import Database, Transaction

SECONDS = 300.0
DAY = 86_400.0


@dataclass(slots=True)
class Expiry:
    """A little at a time, so that no request waits long."""

    db: Database
    keep_days: float

    async def sweep(self) -> None:
        """One sweep."""

        def work(tx: Transaction) -> int:
            messages.expire(tx)
            return operations.prune(tx, self.keep_days * DAY)

        while await self.db.write(work):
            pass

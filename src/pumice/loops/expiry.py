"""Forget what is kept only for a while: ended operations, messages, tombstones, runs of schedules."""

from dataclasses import dataclass
from datetime import timedelta

from pumice.store import adding_up, messages, operations, schedules, tombstones
from pumice.store.columns import now
from pumice.store.database import Database, Transaction

SECONDS = 300.0
DAY = 86_400.0
TOMBSTONE_DAYS = 90.0
"""Days that a tombstone is kept: no worker is woken, and no database restored, after longer than that."""

MOST_RUNS = 100
"""Runs of schedules that one transaction forgets, with what they tell of each volume."""


@dataclass(slots=True)
class Expiry:
    """A little at a time, so that no request waits long."""

    db: Database
    keep_days: float

    async def sweep(self) -> None:
        """Forget once what has expired."""

        def work(tx: Transaction) -> int:
            messages.expire(tx)
            adding_up.expire(tx)
            runs = schedules.expire_runs(tx, now() - timedelta(days=self.keep_days), MOST_RUNS)
            return (
                runs + operations.prune(tx, self.keep_days * DAY) + tombstones.prune(tx, TOMBSTONE_DAYS * DAY)
            )

        while await self.db.write(work):
            pass

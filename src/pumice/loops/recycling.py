"""Delete for good what was in the recycle bin for its time, the longest due first, so much at each look."""

from dataclasses import dataclass

import structlog

from pumice.model.errors import PumiceError
from pumice.model.scope import INTERNAL
from pumice.model.volume import host_of
from pumice.store import recycle_bin, services
from pumice.store.database import Database, Transaction
from pumice.volumes.recycle_bin import purge

logger = structlog.get_logger(__name__)

SECONDS = 60.0
AT_ONCE = 20
"""How many deletes a look begins: they take turns with what tenants ask for."""
PAGE, MOST_PAGES = 100, 10
"""How many of what is due are looked at, where some of it stays: its backend is frozen, something holds it."""


@dataclass(slots=True)
class Recycling:
    """Empties the bin of what is due."""

    db: Database

    async def check(self) -> int:
        """Look once. How many deletes were begun."""
        at = await self.db.write(recycle_bin.look)
        if at is None:
            return 0
        begun = stayed = 0
        frozen: dict[str, bool] = {}
        for _ in range(MOST_PAGES):
            entries = await self.db.read(recycle_bin.due, at, PAGE, stayed)
            for entry in entries:
                host = host_of(entry.pool)
                if host not in frozen:
                    frozen[host] = await self.db.read(services.is_frozen, host)
                if not frozen[host] and await self._begin(entry.id, at):
                    begun += 1
                else:
                    stayed += 1
                if begun == AT_ONCE:
                    return begun
            if len(entries) < PAGE:
                break
        return begun

    async def _begin(self, entry_id: str, at: float) -> bool:
        try:
            return await self.db.write(begin, entry_id, at)
        except PumiceError as error:  # something keeps it for now: it is looked at again
            logger.info("recycle_bin.stays", id=entry_id, why=str(error))
            return False


def begin(tx: Transaction, entry_id: str, at: float) -> bool:
    """Begin to delete what is due. False if it is not there any more, or not due."""
    entry = recycle_bin.find(tx, entry_id)
    if entry is None or entry.recycled_until > at or entry.status not in recycle_bin.GOES:
        return False
    purge.begin(tx, INTERNAL, entry)
    return True

"""Evict bases of images that are of no use any more, or too many: what was used least recently goes first.

A base whose image was deleted, deactivated or replaced is never served (``volumes/bases/use.py``); here it
goes. So do those beyond the limits of their pool, all of them where the cache is switched off, and what a host
had that is gone for good. One that could not be made is forgotten after a while, and may be tried again.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from pumice.model.errors import InvalidState, NotFound
from pumice.model.states import ImageBaseStatus, ImageStatus
from pumice.model.tunables import Tunables
from pumice.store import image_bases
from pumice.store.columns import now
from pumice.store.database import Database
from pumice.store.image_bases import Kept
from pumice.volumes.bases import evict

logger = structlog.get_logger(__name__)

S = ImageBaseStatus
SECONDS = 30.0
AGAIN = timedelta(minutes=10)
"""How long a base that could not be made, or deleted, is left as it is."""


@dataclass(slots=True)
class ImageCache:
    """The eviction of all pools' bases."""

    db: Database
    tunables: Tunables = field(default_factory=Tunables)

    async def sweep(self) -> int:
        """Begin to evict what has to go. How many."""
        kept = await self.db.read(image_bases.kept)
        begun = 0
        for base_id, why in dict(self._to_go(kept)).items():
            with suppress(InvalidState, NotFound):  # used, being made or gone
                await self.db.write(evict.accept, base_id)
                logger.info("image_base.evicted", base=base_id, why=why)
                begun += 1
        return begun

    def _to_go(self, kept: Sequence[Kept]) -> Iterator[tuple[str, str]]:
        whole = [it.base for it in kept if it.base.status == S.AVAILABLE]
        yield from ((base.id, "pool has too many") for base in evict.beyond(whole, self.tunables))
        for it in kept:
            if it.base.status in evict.EVICTABLE and (why := self._why(it)):
                yield it.base.id, why

    def _why(self, it: Kept) -> str | None:
        """Why a base is of no use any more, if it is not."""
        if not self.tunables.image_cache:
            return "cache is switched off"
        if it.is_lost:
            return "host is gone for good"
        if it.image_status != ImageStatus.ACTIVE:
            return f"image is {it.image_status or 'deleted'}"
        if it.content != it.base.content:
            return "image was replaced"
        if it.base.status != S.AVAILABLE and (it.base.updated_at or it.base.created_at) < now() - AGAIN:
            return f"base is {it.base.status}"
        return None

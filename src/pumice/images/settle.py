"""Be the only one who changes an image's bytes, and leave bytes and row in agreement, whatever happens.

What an upload or a delete that failed has to do, what the repair of one that died has to do, and what is left
to do after one that went well, is the same: look at the row, and keep the bytes that it speaks of. So there is
one function for it, which may run any number of times, and the image's lock around it::

    lock ──▶ change row and files ──▶ settle: files as the row says ──▶ the lock's name goes
                  │ the process dies                                         ▲
                  ╰──▶ a lock file that nobody holds ──▶ loops/uploads.py ───╯
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from pumice.images.files import ImageFiles
from pumice.images.lock import ImageLock
from pumice.model.errors import PumiceError, in_full
from pumice.model.ids import ImageId
from pumice.model.states import HAS_BYTES, ImageStatus
from pumice.store import images
from pumice.store.database import Database

logger = structlog.get_logger(__name__)


@asynccontextmanager
async def alone(
    db: Database, files: ImageFiles, image_id: ImageId, *, left_behind: bool = False
) -> AsyncIterator[None]:
    """Hold the image's lock, and settle at the end. Raises ``Conflict`` if somebody else holds it."""
    async with files.lock(image_id, left_behind=left_behind) as lock:
        try:
            yield
        finally:
            await _settle(db, files, image_id, lock)


async def _settle(db: Database, files: ImageFiles, image_id: ImageId, lock: ImageLock) -> None:
    try:
        status = await db.read(images.status, image_id)
        await files.keep_only(image_id, whole=status in HAS_BYTES)
        if status == ImageStatus.SAVING:
            await db.write(images.requeue, image_id)
        await files.end(lock)
    except PumiceError as error:  # the lock's file stays, so it is tried again until it succeeds
        logger.warning("image.unsettled", image=image_id, error=in_full(error))

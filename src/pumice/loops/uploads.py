"""Give back what dead uploads and deletes of images left: no bytes without a row, no row ``saving`` for ever.

Level-triggered, and safe to run in every process that takes uploads, at once and twice. Whoever changes an
image holds its lock, which the kernel takes from the dead. So a lock that can be had, though its file was left
there, is one of a dead process; and taking it and letting go of it settles the image (``images/settle.py``). A
look lists the directory; of the database it asks nothing as long as nobody has died.
"""

import structlog

from pumice.images.files import ImageFiles
from pumice.images.settle import alone
from pumice.loops.every import tell_failure
from pumice.model.errors import Conflict
from pumice.model.ids import ImageId
from pumice.store import images
from pumice.store.database import Database

SECONDS = 2.0
TIDY_SECONDS = 60.0
"""How often it is looked whether what waits for its last clone can be freed."""

logger = structlog.get_logger(__name__)


class Uploads:
    """Uploads and deletes in one directory."""

    def __init__(self, db: Database, files: ImageFiles) -> None:
        self.db = db
        self.files = files
        self._first = True

    async def check(self) -> None:
        """Settle every image whose changer has died. Raises ``Retryable`` while the directory hangs."""
        await self.files.answered("look", "all images", self._check)

    async def _check(self) -> None:
        for image_id in await self.files.unsettled():
            await self._settle(image_id, left_behind=True)
        if self._first:  # after a power cut a row may be older than its directory, and have no lock there
            for image_id in await self.db.read(images.saving):
                await self._settle(image_id, left_behind=False)
            self._first = False

    async def _settle(self, image_id: ImageId, *, left_behind: bool) -> None:
        try:
            async with alone(self.db, self.files, image_id, left_behind=left_behind):
                logger.info("image.settled", image=image_id, why="who changed it died")
        except Conflict:  # somebody is at work on it
            return
        except Exception as error:  # one that cannot be settled keeps no other from it
            tell_failure("image.unsettled", error, image=image_id)

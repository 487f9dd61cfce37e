"""Delete an image: first its row goes, then its bytes.

Whoever dies in between leaves the image's lock behind, and bytes without a row are removed by ``settle.py``. An
upload that is under way keeps the lock; it notices at its end that the row is gone, and removes what it wrote.
"""

import asyncio
import time

from pumice.images.files import ImageFiles
from pumice.images.settle import alone
from pumice.model.errors import Conflict, Forbidden
from pumice.model.image import Image
from pumice.model.scope import Scope
from pumice.store import images
from pumice.store.database import Database

PATIENCE_SECONDS = 5.0
LOOK_SECONDS = 0.05


async def delete(db: Database, files: ImageFiles, who: Scope, image: Image) -> None:
    """Delete an image in any state.

    Raises ``Forbidden`` if it is protected, ``NotFound`` if it is gone, ``Conflict`` if somebody who has just
    made it active does not let go of it.
    """
    if image.protected:
        raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            async with alone(db, files, image.id):
                return await db.write(images.delete, who, image.id)
        except Conflict:
            if await db.write(images.delete_unfinished, who, image.id):
                return None  # its bytes are the uploader's to remove
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(LOOK_SECONDS)

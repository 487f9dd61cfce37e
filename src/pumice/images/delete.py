"""Delete an image: its bytes go out of sight, its row goes, its bytes are freed.

A process that dies on the way leaves bytes set aside, and ``settle`` decides by the row what becomes of them:
so an image keeps both or loses both. An upload that is under way notices at its end that the row is gone, and
removes what it wrote.
"""

from pumice.images.files import ImageFiles
from pumice.model.errors import Forbidden
from pumice.model.ids import ImageId
from pumice.model.image import Image
from pumice.model.scope import Scope
from pumice.store import images
from pumice.store.database import Database


async def delete(db: Database, files: ImageFiles, who: Scope, image: Image) -> None:
    """Delete an image in any state. Raises ``Forbidden`` if it is protected, ``NotFound`` if it is gone."""
    if image.protected:
        raise Forbidden(f"Image {image.id} is protected and cannot be deleted.")
    async with files.naming(image.id):
        await files.set_aside(image.id)
        try:
            await db.write(images.delete, who, image.id)
        except BaseException:
            await settle(db, files, image.id)
            raise
        await files.drop(image.id)


async def settle(db: Database, files: ImageFiles, image_id: ImageId) -> None:
    """Give bytes that were set aside back to their image, or free them if it is gone."""
    if await db.read(images.exists, image_id):
        await files.put_back(image_id)
    else:
        await files.drop(image_id)

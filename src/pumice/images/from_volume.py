"""Make an image of a volume's bytes: what a step of an operation does, so each may be done again after a crash.

An upload in all but where the bytes come from: the same lock, the same end as there. Its format is known,
and not judged by what a guest wrote.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from pumice.host.thread import in_thread
from pumice.images.delete import delete
from pumice.images.files import ImageFiles
from pumice.images.inspect import kept_image
from pumice.images.settle import alone
from pumice.model.errors import Conflict, NotFound, Retryable
from pumice.model.ids import ImageId
from pumice.model.image import ImageContent
from pumice.model.scope import INTERNAL
from pumice.model.states import HAS_BYTES
from pumice.store import images
from pumice.store.database import Database


async def keep(db: Database, files: ImageFiles, image_id: str, fill: Callable[[Path], Awaitable[None]]) -> None:
    """Make a queued image active with the bytes that ``fill`` writes to a path.

    One that is active already was made before. Raises ``NotFound`` when it was deleted meanwhile, ``Retryable``
    while somebody else has it in hand, or what ``fill`` raises.
    """
    image_id = ImageId(image_id)
    try:
        async with alone(db, files, image_id):
            if await db.read(images.status, image_id) in HAS_BYTES:
                return
            image = await db.write(images.begin_saving, image_id)
            made = await files.make(image_id, fill)
            found = await in_thread(kept_image, made.path, image.disk_format)
            location = await files.publish(image_id)
            content = ImageContent(made.size, found.virtual_size, made.md5, made.sha512, location)
            await db.write(images.finish_saving, image, content, files.quota)
    except Conflict as error:
        raise Retryable(error.told, error.detail) from None


async def drop(db: Database, files: ImageFiles, image_id: str) -> None:
    """The image was never made. One that is gone already is fine."""
    try:
        image = await db.read(images.get, INTERNAL, image_id)
        await delete(db, files, INTERNAL, image)
    except NotFound:
        return
    except Conflict as error:
        raise Retryable(error.told, error.detail) from None

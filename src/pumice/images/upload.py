"""Take an image's bytes from a request that streams them.

In this order, with the image's lock in hand: the queued row becomes ``saving``; the bytes are written and
hashed as they arrive; their format is inspected; the file gets its name; the row becomes ``active``. Whatever
fails on the way, the bytes are removed and the row is queued again: by this process, or by any other once it is
dead (``settle.py``).

What must never happen: bytes that were not inspected under a name that others read, or an active row without
its bytes.
"""

from collections.abc import AsyncIterator

from pumice.images.files import ImageFiles
from pumice.images.inspect import inspect_image
from pumice.images.settle import alone
from pumice.model.errors import Invalid
from pumice.model.ids import ImageId
from pumice.model.image import Image, ImageContent
from pumice.store import images
from pumice.store.database import Database


async def upload(
    db: Database, files: ImageFiles, image_id: ImageId, stream: AsyncIterator[bytes], size: int | None = None
) -> None:
    """Make a queued image active with the stream's bytes.

    ``size`` is what the client announced, in bytes. Raises ``Invalid`` (the image lacks a format, or the client
    did not do as it announced), ``InvalidState`` or ``Conflict`` (another upload was first), ``ImageRefused``,
    ``TooLarge``, ``OverQuota``, or ``NotFound`` when the image is deleted meanwhile.
    """
    async with alone(db, files, image_id):
        image = await db.write(images.begin_saving, image_id)
        require_formats(image)
        room = await db.read(images.room, image.owner, files.quota)
        saved = await files.save(image_id, stream, size, room)
        found = await files.do(inspect_image, saved.path, image.disk_format)
        location = await files.publish(image_id)
        content = ImageContent(saved.size, found.virtual_size, saved.md5, saved.sha512, location)
        await db.write(images.finish_saving, image, content, files.quota)


def require_formats(image: Image) -> None:
    """Raise ``Invalid`` for an image whose formats nobody has told."""
    formats = {"disk_format": image.disk_format, "container_format": image.container_format}
    missing = [name for name, value in formats.items() if value is None]
    if missing:
        raise Invalid(f"Properties {', '.join(missing)} must be set prior to saving data.")

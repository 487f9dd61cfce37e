"""Make an image of what a Glance keeps in the same cluster: a clone in our pool, of which nothing is copied.

An upload in all but where the bytes come from: the same lock, the same inspection, the same end. What lies at
the location stays its owner's; whoever deletes it there finds it in use, or in the trash, as long as ours is.
"""

from pumice.images.files import ImageFiles
from pumice.images.inspect import RAW, inspect_image
from pumice.images.settle import alone
from pumice.images.upload import require_formats
from pumice.model.errors import Invalid
from pumice.model.ids import ImageId
from pumice.model.image import ImageContent
from pumice.model.image_location import RbdLocation
from pumice.store import images
from pumice.store.database import Database


async def adopt(db: Database, files: ImageFiles, image_id: ImageId, url: str) -> None:
    """Make a queued image active with what lies at ``url``. Raises as ``upload``."""
    location = RbdLocation.parse(url)
    if location is None:
        raise Invalid(f"{url!r} is no location that can be used here: rbd://FSID/POOL/IMAGE/SNAPSHOT.")
    async with alone(db, files, image_id):
        image = await db.write(images.begin_saving, image_id)
        require_formats(image)
        ours, made = await files.adopt(image_id, location)
        async with files.opened(image_id) as path:
            found = await files.do(inspect_image, path, image.disk_format)
        virtual_size = made.size if found.format in RAW else found.virtual_size
        content = ImageContent(made.size, virtual_size, made.md5, made.sha512, ours)
        await db.write(images.finish_saving, image, content, files.quota)

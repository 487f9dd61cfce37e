"""An image's bytes, as whoever makes a volume of them reads them."""

from pumice.backends.contract import ImageFile
from pumice.host.thread import in_thread
from pumice.images.inspect import kept_image
from pumice.model.errors import ImageRefused, NotFound
from pumice.model.image import Image
from pumice.model.scope import INTERNAL
from pumice.model.states import ImageStatus
from pumice.operations.drivers import Drivers
from pumice.operations.places import IMAGES
from pumice.store import images


async def inspected(drivers: Drivers, image_id: str) -> ImageFile:
    """The image's file, inspected once more before anything else reads it. Raises ``ImageRefused``."""
    _, file = await read(drivers, image_id)
    return file


async def read(drivers: Drivers, image_id: str) -> tuple[Image, ImageFile]:
    """An image and its inspected file. Raises ``ImageRefused``, also where it is not given out any more."""
    path = drivers.image_path(image_id)
    try:
        image = await drivers.db.read(images.get, INTERNAL, image_id)
        if image.status != ImageStatus.ACTIVE:
            raise ImageRefused(f"Image {image_id} was {image.status} before its bytes were copied.")
        with drivers.bulkheads.at(IMAGES).inside():
            return image, await in_thread(kept_image, path, image.disk_format)
    except (NotFound, FileNotFoundError):
        raise ImageRefused(f"Image {image_id} was deleted before its bytes were copied.") from None

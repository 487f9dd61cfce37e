"""An image's bytes as a volume's: a clone where they lie in the pool's own storage, else a copy."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pumice.backends.contract import ImageFile, Progress
from pumice.host.thread import in_thread
from pumice.images.inspect import RAW, kept_image
from pumice.model.errors import ImageRefused, NotFound
from pumice.model.ids import VolumeId
from pumice.model.image import Image
from pumice.model.image_base import content_of
from pumice.model.image_location import RbdLocation
from pumice.model.scope import INTERNAL
from pumice.model.states import ImageStatus
from pumice.model.units import GIB
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.places import IMAGES
from pumice.store import images


async def make_volume(
    drivers: Drivers,
    volume: VolumeId,
    pool: str,
    size: int,
    image_id: str,
    progress: Progress,
    content: str | None = None,
) -> None:
    """Have a pool's backend make a volume of ``size`` GiB of an image.

    ``content`` is what that must hold, if it was begun with already.

    Raises ``ImageRefused``, or as ``Backend.create_from_image``.
    """
    image = await _active(drivers, image_id)
    if content is not None and content_of(image) != content:
        raise ImageRefused(f"Image {image_id} was replaced by another before its bytes were copied.")
    backend, here, location = drivers.backend_of(pool), pool_of(pool), to_clone(image)
    fits = (image.virtual_size or 0) <= size * GIB
    if location and fits and await backend.clone_image(volume, here, size, location, progress):
        return
    async with inspected(drivers, image_id) as file:
        await backend.create_from_image(volume, here, size, file, progress)


def to_clone(image: Image) -> RbdLocation | None:
    """Where an image lies that its cluster's pools can clone; None for others."""
    return RbdLocation.parse(image.location or "") if image.disk_format in RAW else None


@asynccontextmanager
async def inspected(drivers: Drivers, image_id: str) -> AsyncIterator[ImageFile]:
    """The image's file, inspected once more before anything else reads it.

    Raises ``ImageRefused``, also where it is not given out any more.
    """
    image = await _active(drivers, image_id)
    async with AsyncExitStack() as stack:
        try:
            with drivers.bulkheads.at(IMAGES).inside():
                path = await stack.enter_async_context(drivers.open_image(image_id))
                file = await in_thread(kept_image, path, image.disk_format)
        except (NotFound, FileNotFoundError):
            raise _deleted(image_id) from None
        yield file


async def _active(drivers: Drivers, image_id: str) -> Image:
    try:
        image = await drivers.db.read(images.get, INTERNAL, image_id)
    except NotFound:
        raise _deleted(image_id) from None
    if image.status != ImageStatus.ACTIVE:
        raise ImageRefused(f"Image {image_id} was {image.status} before its bytes were copied.")
    return image


def _deleted(image_id: str) -> ImageRefused:
    return ImageRefused(f"Image {image_id} was deleted before its bytes were copied.")

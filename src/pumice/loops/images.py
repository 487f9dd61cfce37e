"""Images whose bytes are missing, and bytes of images that have no row.

Those are told and left alone: whoever restored an older database may want them.
"""

from pumice.loops.violation import Violation, unknown
from pumice.model.errors import PumiceError
from pumice.operations.drivers import Drivers
from pumice.store import images

SECONDS = 3600.0
"""A check lists all images, and compares them with all rows."""


async def check(drivers: Drivers) -> list[Violation]:
    """Where this process keeps images."""
    if drivers.kept_images is None:
        return []
    before = await drivers.db.read(images.with_bytes)
    try:
        kept = await drivers.kept_images()
    except PumiceError as error:
        return [Violation(f"the place of images does not answer: {error.in_full}")]
    lost = (before & await drivers.db.read(images.with_bytes)) - kept
    nobodys = kept - await drivers.db.read(images.known, kept)
    return [
        *(Violation(f"image {it} has no bytes", is_lost=True) for it in sorted(lost)),
        *(unknown("image", it, "the place of images") for it in sorted(nobodys)),
    ]

"""Begin a volume with an image's base instead of the image: what a create asks the image cache.

A base is found, or begun, where the pool is chosen (``take``), and cloned where the bytes are made (``clone``);
in between the create waits for who makes it. The image itself is judged each time: by the request, in its
caller's scope; and right before the clone, when it must be active and hold what the base was made of. Whatever
is not so, or fails, leads back to the image, which says why.
"""

from typing import Any

from pumice.images.inspect import RAW
from pumice.model.errors import NotFound
from pumice.model.ids import VolumeId
from pumice.model.image import Image
from pumice.model.image_base import ImageBase, content_of
from pumice.model.scope import INTERNAL
from pumice.model.states import ImageBaseStatus, ImageStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import CEPH_FSID, COPIES, IMAGE_CACHE, SHARES, Pool, pool_of
from pumice.operations import holds
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Hold, Thing, read
from pumice.operations.operation import Operation
from pumice.scheduler.filters import capacity
from pumice.scheduler.request import Request
from pumice.store import image_bases, images
from pumice.store.database import Transaction
from pumice.volumes.bases import make
from pumice.volumes.image_bytes import to_clone

S = ImageBaseStatus
BASE, MAKERS = "base", "makers"
"""The notes of a create: the base that it begins with, and the operations that it waits for before."""


def held(op: Operation[Any]) -> tuple[Hold, ...]:
    """The base that a create is to read."""
    return (read(Thing.IMAGE_BASE, op.notes[BASE]),) if op.notes.get(BASE) else ()


def take(tx: Transaction, op: Operation[Any], pool: Pool, size: int, image_id: str, tunables: Tunables) -> None:
    """Note the base in this pool that the volume of ``size`` GiB begins with; begin it where there is none."""
    if not tunables.image_cache:
        return
    try:
        image = images.get(tx, INTERNAL, image_id)
    except NotFound:
        return
    if image.status != ImageStatus.ACTIVE or not _helps(pool, image):
        return
    base = image_bases.of_image(tx, pool.name, image.id)
    if base is None and (base := _begun(tx, op, pool, size, image, tunables)) is None:
        return
    if base.content != content_of(image) or base.status not in (S.AVAILABLE, S.CREATING):
        return
    makers = holds.take(tx, op.id, [read(Thing.IMAGE_BASE, base.id)], subject=op.subject, waits=True)
    if base.status == S.CREATING and base.operation_id not in makers:
        makers.append(str(base.operation_id))  # a part of ours is in nobody's way
    image_bases.used(tx, base.id)
    op.notes[BASE] = base.id
    op.notes[MAKERS] = [*op.notes.get(MAKERS, ()), *makers]


def _helps(pool: Pool, image: Image) -> bool:
    """Whether to clone a base in this pool is quicker than to make the volume of the image.

    It is not where the image is cloned itself, nor where copies are no quicker than the image's own.
    """
    how, location = pool.capabilities.get(IMAGE_CACHE), to_clone(image)
    if location and location.fsid == pool.capabilities.get(CEPH_FSID):
        return False
    return how == SHARES or (how == COPIES and image.disk_format not in RAW)


def _begun(
    tx: Transaction, op: Operation[Any], pool: Pool, size: int, image: Image, tunables: Tunables
) -> ImageBase | None:
    """A base that is being made from now on, if there is room for it beside the volume."""
    needed = make.size_of(image)
    asked = Request(size=size + needed, availability_zone=pool.availability_zone)
    if needed > tunables.image_cache_gigabytes or not capacity(pool, asked) or pool.free_gb < size + needed:
        return None
    return make.begin(tx, image, pool.name, op)


async def clone(op: Operation[Any], drivers: Drivers, volume: VolumeId, size: int) -> bool:
    """Have the backend clone the base that was noted. False where the image itself is needed."""
    base_id = op.notes.get(BASE)
    if base_id is None or not await drivers.db.read(is_servable, base_id):
        return False
    pool = op.notes["pool"]
    backend, here = drivers.backend_of(pool), pool_of(pool)
    try:
        await backend.create_from_volume(volume, here, size, VolumeId(base_id), here, op.note_progress)
    except NotFound:
        await drivers.db.write(note_loss, base_id)
        return False
    return True


def is_servable(tx: Transaction, base_id: str) -> bool:
    """Whether a base is whole, and its image is given out and holds what it did."""
    base = image_bases.find(tx, base_id)
    if base is None or base.status != S.AVAILABLE:
        return False
    try:
        image = images.get(tx, INTERNAL, base.image_id)
    except NotFound:
        return False
    return image.status == ImageStatus.ACTIVE and content_of(image) == base.content


def note_loss(tx: Transaction, base_id: str) -> None:
    """Offer no more what the backend does not have."""
    base = image_bases.find(tx, base_id)
    if base and base.status == S.AVAILABLE:
        image_bases.move(tx, base_id, {S.AVAILABLE}, S.ERROR)

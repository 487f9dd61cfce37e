"""Make an image's base in a pool, for the first volume that begins there with the image.

1. ``begin``, in the transaction in which a create chooses the pool: the base in ``creating``, its space claimed
2. ``make_base``: the pool's backend makes it of the image, as it would a volume
3. ``publish``: ``available``; who waits for it clones it

If it fails the base is in ``error`` for a while, so that not each create tries it again, and whoever waited
makes its volume of the image itself. No tenant is told: no tenant asked.
"""

from dataclasses import dataclass
from typing import Any

from pumice.model.ids import VolumeId, new_id
from pumice.model.image import Image
from pumice.model.image_base import ImageBase, content_of
from pumice.model.scope import INTERNAL
from pumice.model.states import ImageBaseStatus
from pumice.model.tunables import Tunables
from pumice.model.units import gib_to_hold
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, make
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import image_bases, pools
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.volumes import image_bytes

S = ImageBaseStatus
SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class MakeParams:
    """What the operation was asked to do. ``size`` in GiB."""

    base_id: VolumeId
    pool: str
    image_id: str
    content: str
    size: int


def size_of(image: Image) -> int:
    """GiB that hold the disk inside an image."""
    return max(1, gib_to_hold(image.virtual_size or 0))


def begin(tx: Transaction, image: Image, pool: str, parent: Operation[Any] | None = None) -> ImageBase:
    """Begin a base; ``parent`` is the create that waits for it."""
    base = ImageBase(
        id=VolumeId(new_id()),
        pool=pool,
        image_id=image.id,
        content=content_of(image),
        size=size_of(image),
        status=S.CREATING,
        uses=0,
        used_at=now(),
        operation_id=new_id(),
        created_at=now(),
        updated_at=None,
    )
    image_bases.insert(tx, base)
    pools.claim(tx, pool, base.id, base.size, volumes=0)
    params = MakeParams(base.id, pool, image.id, base.content, base.size)
    enqueue(tx, MAKE, params, subject=base.id, who=INTERNAL, parent=parent, id=base.operation_id)
    return base


async def make_base(op: Operation[MakeParams], drivers: Drivers) -> None:
    """Have the backend make the base. Raises ``ImageRefused`` where the image is not what it was."""
    asked = op.params
    how = op.note_progress, asked.content
    await image_bytes.make_volume(drivers, asked.base_id, asked.pool, asked.size, asked.image_id, *how)


async def delete_base(op: Operation[MakeParams], drivers: Drivers) -> None:
    """Delete whatever of the base was made."""
    pool = op.params.pool
    await drivers.backend_of(pool).delete(op.params.base_id, pool_of(pool))


def publish(tx: Transaction, op: Operation[MakeParams], tunables: Tunables) -> None:
    """Let volumes begin with it."""
    image_bases.move(tx, op.params.base_id, {S.CREATING}, S.AVAILABLE, operation_id=None)


def explain(tx: Transaction, op: Operation[MakeParams], error: str) -> None:
    """Say that there is none. A loop forgets that after a while (``loops/image_cache.py``)."""
    image_bases.reset(tx, op.params.base_id, S.ERROR, op.id)


MAKE = Verb(
    kind="image_base.make",
    params=MakeParams,
    holds=lambda op: (make(Thing.IMAGE_BASE, op.params.base_id),),
    steps=(
        Step(make_base, undo=delete_base, at=on_backend, timeout=SECONDS, tries=2, long=True),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=SECONDS,
    unserved=120,
    spares_bytes=True,
)

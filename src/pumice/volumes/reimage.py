"""Reimage a volume: give it an image's bytes instead of its own.

1. ``accept``: ``downloading``, if nothing is connected to the volume and the image fits
2. ``claim_room``: meanwhile it takes the room of two, which its pool must have
3. ``make_bytes``: the backend makes the image's bytes, beside the volume's own, under the id ``made_id``
4. four renames: they change places, each step with its way back (``exchange.py``)
5. ``publish``: what it was before, ``available`` or ``reserved``, with the image's metadata; what is called
   ``made_id`` now, the bytes that it had, is deleted by an operation of its own, which gives the room back

If it fails the volume has its own bytes, and is in ``error``, as in Cinder.
"""

from dataclasses import dataclass
from typing import Any

from pumice.catalog import volume_types
from pumice.model.errors import Conflict, InvalidState
from pumice.model.ids import VolumeId, new_id
from pumice.model.scope import Scope
from pumice.model.states import AttachStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, own
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend, scheduler
from pumice.store import attachments, messages, volumes
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.volumes import encrypted
from pumice.volumes.create import from_image, require_room
from pumice.volumes.exchange import (
    RENAMES,
    claim_room,
    delete_new_bytes,
    give_room_back,
    leave_old_bytes,
)
from pumice.volumes.frozen import refuse_frozen
from pumice.volumes.image_bytes import inspected, make_volume

V = VolumeStatus


@dataclass(frozen=True, slots=True)
class ReimageParams:
    """The parameters of the operation. ``made_id`` is what the new bytes are called while they are made."""

    volume_id: VolumeId
    made_id: VolumeId
    pool: str
    size: int
    image_id: str
    image_metadata: dict[str, Any]
    before: str
    key_id: str | None = None
    key_size: int | None = None


def accept(tx: Transaction, who: Scope, volume_id: str, image_id: str, *, reserved: bool) -> None:
    """Answer the request. ``reserved``: a volume that is reserved is welcome too.

    Raises ``NotFound``, ``Invalid``, ``InvalidState``, or ``Conflict`` where several servers have it.
    """
    volume = volumes.get(tx, who, volume_id)
    start = {V.AVAILABLE, V.ERROR} | ({V.RESERVED} if reserved else set())
    links = attachments.of_volume(tx, volume.id)
    if len(links) > 1:
        raise Conflict("Cannot re-image a volume which is attached to more than one server.")
    words = " or ".join(sorted(start))
    if volume.pool is None or any(link.status != AttachStatus.RESERVED for link in links):
        raise InvalidState(
            f"Invalid volume: Volume {volume.id} status must be {words} and nothing may be connected to it, "
            f"but it is {volume.status}."
        )
    refuse_frozen(tx, volume.pool)
    origin = from_image(tx, who, image_id)
    require_room(origin, volume.size, encrypts=volume.encryption_key_id is not None)
    kind = volume_types.get(tx, volume.type_id) if volume.type_id else None
    params = ReimageParams(
        volume.id,
        VolumeId(new_id()),
        volume.pool,
        volume.size,
        image_id,
        origin.image_metadata or {},
        V.RESERVED if volume.status == V.RESERVED else V.AVAILABLE,
        volume.encryption_key_id,
        kind.encryption["key_size"] if kind and kind.encryption else None,
    )
    operation_id = new_id()
    must = f"be {words}"
    volumes.move(tx, volume.id, start, V.DOWNLOADING, must=must, operation_id=operation_id)
    enqueue(tx, REIMAGE, params, subject=volume.id, who=who, id=operation_id)


async def make_bytes(op: Operation[ReimageParams], drivers: Drivers) -> None:
    """Have the backend make the image's bytes, under a name of their own."""
    asked, pool = op.params, pool_of(op.params.pool)
    backend = drivers.backend_of(op.params.pool)
    if asked.key_id is None:
        where = asked.pool, asked.size, asked.image_id
        await make_volume(drivers, asked.made_id, *where, op.note_progress)
        return
    key = await encrypted.key_of(drivers.db, asked.key_id, asked.key_size)
    async with inspected(drivers, asked.image_id) as image:
        await encrypted.make(backend, asked.made_id, pool, asked.size, key, image, op.note_progress)


def publish(tx: Transaction, op: Operation[ReimageParams], tunables: Tunables) -> None:
    """The volume has the image's bytes, and is what it was; those that it had are to be deleted."""
    asked = op.params
    known = {"image_metadata": asked.image_metadata, "bootable": True}
    volumes.reset(tx, asked.volume_id, V(asked.before), op.id, **known)
    leave_old_bytes(tx, op)


def explain(tx: Transaction, op: Operation[ReimageParams], error: str) -> None:
    """The volume has the bytes that it had, and is in ``error``; its owner can read why."""
    volumes.reset(tx, op.params.volume_id, V.ERROR, op.id)
    if volume := volumes.find(tx, op.params.volume_id):
        messages.tell(tx, volume.project_id, Event.REIMAGE_VOLUME, volume.id, error, op.request_id)


REIMAGE = Verb(
    kind="volume.reimage",
    params=ReimageParams,
    holds=lambda op: (own(Thing.VOLUME, op.params.volume_id),),
    steps=(
        Step(claim_room, undo=give_room_back, at=scheduler),
        Step(make_bytes, undo=delete_new_bytes, at=on_backend, timeout=encrypted.SECONDS, tries=3, long=True),
        *RENAMES,
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=2 * 3600,
)

"""Upload a volume: make an image of its bytes.

1. ``accept``: ``uploading``, and an image that waits for them
2. ``write_image``: the volume's host writes them in the format that was asked for, and the image is published
3. ``publish``: the volume is free again

If it fails there is no image any more, the volume is free again, and a message says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pumice.host import qemu_img
from pumice.images.for_volume import least
from pumice.model.errors import InvalidState
from pumice.model.ids import ImageId, VolumeId, new_id
from pumice.model.image import Image, Visibility
from pumice.model.scope import Scope
from pumice.model.states import ImageStatus, VolumeStatus
from pumice.model.tunables import Tunables
from pumice.model.volume import Volume, pool_of
from pumice.operations.drivers import Drivers
from pumice.operations.holds import Thing, read
from pumice.operations.operation import Operation, Step, Verb, enqueue, on_backend
from pumice.store import attachments, images, messages, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event

V = VolumeStatus
SECONDS = 3600.0
_OWN = frozenset(
    {"image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram", "size"}
)
"""What a volume remembers of its image that is no property of it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The image that is asked for."""

    name: str
    disk_format: str = "raw"
    visibility: str = "private"
    protected: bool = False


@dataclass(frozen=True, slots=True)
class UploadParams:
    """The parameters of the operation."""

    volume_id: VolumeId
    image_id: str
    pool: str
    disk_format: str


def accept(
    tx: Transaction, who: Scope, volume_id: str, wanted: Wanted, *, in_use: bool
) -> tuple[Volume, Image]:
    """Answer the request: the volume as it was, and the image. ``in_use``: an attached volume is welcome too.

    Its guest may be writing: the image is then of no single moment. Raises ``NotFound`` or ``InvalidState``.
    """
    volume = volumes.get(tx, who, volume_id)
    if volume.encryption_key_id:
        raise InvalidState(f"Invalid volume: Volume {volume.id} is encrypted and cannot become an image.")
    start = {V.AVAILABLE, V.IN_USE} if in_use else {V.AVAILABLE}
    operation_id = new_id()
    must = f"be {' or '.join(sorted(start))}"
    volumes.move(tx, volume.id, start, V.UPLOADING, must=must, operation_id=operation_id)
    image = _image(who, volume, wanted)
    images.insert(tx, image)
    assert volume.pool is not None
    params = UploadParams(volume.id, image.id, volume.pool, wanted.disk_format)
    enqueue(tx, UPLOAD, params, subject=volume.id, who=who, id=operation_id)
    return volume, image


def _image(who: Scope, volume: Volume, wanted: Wanted) -> Image:
    known: Mapping[str, str] = volume.image_metadata or {}
    created_at = now()
    return Image(
        id=ImageId(new_id()),
        owner=who.project_id or volume.project_id,
        name=wanted.name,
        status=ImageStatus.QUEUED,
        visibility=Visibility(wanted.visibility),
        disk_format=wanted.disk_format,
        container_format="bare",
        size=None,
        virtual_size=None,
        checksum=None,
        os_hash_algo=None,
        os_hash_value=None,
        min_disk=least(known, "min_disk"),
        min_ram=least(known, "min_ram"),
        protected=wanted.protected,
        os_hidden=False,
        tags=(),
        properties={key: value for key, value in known.items() if key not in _OWN},
        created_at=created_at,
        updated_at=created_at,
    )


async def write_image(op: Operation[UploadParams], drivers: Drivers) -> None:
    """Write the volume's bytes as an image, and publish it."""
    asked = op.params
    backend = drivers.backend_of(asked.pool)

    async def fill(path: Path) -> None:
        async with backend.opened(asked.volume_id, pool_of(asked.pool)) as device:
            await qemu_img.export(device, path, asked.disk_format, progress=op.note_progress, timeout=SECONDS)

    await drivers.keep_image(asked.image_id, fill)


async def remove_image(op: Operation[UploadParams], drivers: Drivers) -> None:
    """Forget the image that was to be made."""
    await drivers.drop_image(op.params.image_id)


def publish(tx: Transaction, op: Operation[UploadParams], tunables: Tunables) -> None:
    """Free the volume: its bytes are in the image."""
    _let_go(tx, op)


def explain(tx: Transaction, op: Operation[UploadParams], error: str) -> None:
    """Free the volume, and tell its owner why there is no image."""
    _let_go(tx, op)
    if volume := volumes.find(tx, op.params.volume_id):
        messages.tell(tx, volume.project_id, Event.UPLOAD_VOLUME, volume.id, error, op.request_id)


def _let_go(tx: Transaction, op: Operation[UploadParams]) -> None:
    volumes.reset(tx, op.params.volume_id, V.AVAILABLE, op.id)
    attachments.let_volume_follow(tx, op.params.volume_id)


UPLOAD = Verb(
    kind="volume.upload",
    params=UploadParams,
    holds=lambda op: (read(Thing.VOLUME, op.params.volume_id),),
    steps=(
        Step(write_image, undo=remove_image, at=on_backend, timeout=SECONDS, tries=3, long=True),
        Step(publish, at=on_backend),
    ),
    failed=explain,
    deadline=2 * SECONDS,
)

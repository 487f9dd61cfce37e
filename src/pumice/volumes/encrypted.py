"""The bytes of a volume that is encrypted: whatever its backend is, it holds nothing but LUKS.

Compute opens them where the guest runs; neither the backend nor the network between ever sees what is inside.
Made again from the start when it was cut short: nothing can have been written before the volume is available.
"""

from collections.abc import Mapping
from typing import Any

from pumice.backends.contract import Backend, ImageFile, Progress, require_fits
from pumice.host import luks, qemu_img
from pumice.host.durable import sync
from pumice.host.thread import in_thread
from pumice.model.errors import Invalid
from pumice.model.ids import VolumeId
from pumice.store import keys
from pumice.store.database import Database

PROVIDERS = frozenset({"luks", "LuksEncryptor", "nova.volume.encryptors.luks.LuksEncryptor"})
SECONDS = 3600.0
"""How long making a volume's bytes may take."""


def require_possible(asked: Mapping[str, Any]) -> None:
    """Raises ``Invalid`` where a type asks for an encryption that would not happen."""
    for word, possible in (
        ("provider", PROVIDERS),
        ("control_location", {"front-end"}),
        ("cipher", {luks.CIPHER}),
        ("key_size", set(luks.KEY_SIZES)),
    ):
        if asked[word] not in possible:
            words = " or ".join(str(one) for one in sorted(possible))
            raise Invalid(
                f"Invalid input received: the volume type's encryption has {word} '{asked[word]}'; "
                f"volumes can be encrypted with {words}."
            )


async def key_of(db: Database, key_id: str, key_size: int | None) -> luks.Key:
    """The key that is kept under this id; ``key_size`` in bits."""
    return luks.Key(await db.read(keys.passphrase, key_id), key_size or luks.KEY_SIZE)


async def make(
    backend: Backend,
    volume: VolumeId,
    pool: str,
    size: int,
    key: luks.Key,
    image: ImageFile | None,
    progress: Progress,
) -> None:
    """A volume of ``size`` GiB that ``key`` opens: empty, or with the image's bytes in it.

    Raises as ``Backend.create_from_image`` does. The header takes 2 MiB: an image of exactly the volume's size
    does not fit.
    """
    if image is not None:
        require_fits(image, size)
    await backend.create(volume, pool, size)
    async with backend.opened(volume, pool) as device:
        await luks.format_device(device, key)
        if image is not None:
            await qemu_img.convert(
                image.path,
                image.format,
                device,
                virtual_size=image.virtual_size,
                progress=progress,
                timeout=SECONDS,
                key=key,
            )
        await in_thread(sync, device)

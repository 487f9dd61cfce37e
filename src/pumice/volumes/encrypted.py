"""The bytes of a volume that is encrypted: whatever its backend is, it holds nothing but LUKS.

With those of one that is encrypted otherwise, or not at all, they are made of what is inside that (``remake``).

Compute opens them where the guest runs; neither the backend nor the network between ever sees what is inside.
Made again from the start when it was cut short: nothing can have been written before the volume is available.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pumice.backends.contract import Backend, ImageFile, Progress, require_fits
from pumice.host import luks, qemu_img
from pumice.host.durable import sync
from pumice.host.qemu_img import Locked
from pumice.host.thread import in_thread
from pumice.model.errors import Invalid
from pumice.model.ids import VolumeId
from pumice.model.units import GIB
from pumice.model.volume import Volume, VolumeType
from pumice.store import keys
from pumice.store.database import Database, Transaction

PROVIDERS = frozenset({"luks", "LuksEncryptor", "nova.volume.encryptors.luks.LuksEncryptor"})
SECONDS = 3600.0
"""How long making a volume's bytes may take."""
NOT_ALIKE = (
    "What was written is not what is read; or the volume's last 2 MiB, for which an encrypted one of its size "
    "has no room, are not empty."
)
MOVE_SECONDS = 24 * SECONDS
"""How long making them of another volume's may take, or reading them again."""


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


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens the bytes that a volume has, and what those that are made of them: None for plain ones.

    Sizes in bits.
    """

    old_key_id: str | None = None
    old_key_size: int | None = None
    new_key_id: str | None = None
    new_key_size: int | None = None


class Rewritten(Protocol):
    """What an operation was asked to do that makes a volume's bytes anew: ``size`` in GiB, ``Keys``."""

    @property
    def size(self) -> int: ...
    @property
    def old_key_id(self) -> str | None: ...
    @property
    def old_key_size(self) -> int | None: ...
    @property
    def new_key_id(self) -> str | None: ...
    @property
    def new_key_size(self) -> int | None: ...


def is_rewritten(asked: Rewritten) -> bool:
    """Whether the bytes are made anew at all: a volume that is plain and stays so is moved as it is."""
    return asked.old_key_id is not None or asked.new_key_id is not None


def keys_of_new_bytes(tx: Transaction, volume: Volume, before: VolumeType | None, kind: VolumeType) -> Keys:
    """The keys for a volume whose new type is encrypted otherwise; the new one is made.

    Raises ``Invalid`` where the type asks for what would not happen.
    """
    old = volume.encryption_key_id, before.encryption["key_size"] if before and before.encryption else None
    if not kind.encryption:
        return Keys(*old)
    require_possible(kind.encryption)
    return Keys(*old, keys.make(tx), kind.encryption["key_size"])


def opened_by_new_key(tx: Transaction, asked: Rewritten) -> dict[str, object]:
    """What the volume's row says from now on if its bytes were made anew; the key of the others is forgotten.

    What a plain volume has at its end, where an encrypted one had no room for it, nobody has seen.
    """
    if not is_rewritten(asked):
        return {}
    keys.forget(tx, asked.old_key_id)
    return {"encryption_key_id": asked.new_key_id, "end_unseen": asked.new_key_id is None}


def opens_alike(volume: Volume, before: VolumeType | None, kind: VolumeType) -> bool:
    """Whether a volume's bytes are as those of a new volume of the type ``kind`` would be."""
    had = before.encryption if before and volume.encryption_key_id else None
    return _how(had) == _how(kind.encryption) and bool(volume.encryption_key_id) == bool(kind.encryption)


def _how(asked: Mapping[str, Any] | None) -> tuple[object, ...] | None:
    """What tells one encryption from another: a provider has several names."""
    if not asked:
        return None
    provider = "luks" if asked["provider"] in PROVIDERS else asked["provider"]
    return provider, *(asked[word] for word in ("control_location", "cipher", "key_size"))


async def remake(db: Database, asked: Rewritten, source: Path, target: Path, progress: Progress) -> None:
    """Write what is inside a volume's bytes into new ones, which read as zeroes; cut short it is begun anew.

    What of a plain volume has no room beside a header is not written: see ``is_remade``. What a fake hands
    out holds nothing. Raises ``TryAnotherBackend`` or ``Retryable``.
    """
    old, new = await _both(db, asked, source, target)
    if await in_thread(target.is_char_device):
        return
    if new.key:
        await luks.format_device(target, new.key)
    await qemu_img.rewrite(old, new, asked.size * GIB, progress=progress, timeout=MOVE_SECONDS)


async def is_remade(db: Database, asked: Rewritten, source: Path, target: Path, progress: Progress) -> bool:
    """Whether the same is inside both; what one has no room for is all zeroes. Raises ``Retryable``."""
    old, new = await _both(db, asked, source, target)
    if await in_thread(target.is_char_device):
        return True
    return await qemu_img.are_alike(old, new, progress=progress, timeout=MOVE_SECONDS)


async def _both(db: Database, asked: Rewritten, source: Path, target: Path) -> tuple[Locked, Locked]:
    return (
        Locked(source, await key_of(db, asked.old_key_id, asked.old_key_size) if asked.old_key_id else None),
        Locked(target, await key_of(db, asked.new_key_id, asked.new_key_size) if asked.new_key_id else None),
    )

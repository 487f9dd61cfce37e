"""Images in a pool of Ceph, as Glance keeps them: each called after its id, with the snapshot ``snap``.

::

    ID.TOKEN.part ──write, snap, protect, rename──▶ ID          whole, before anybody finds it
    ID ──▶ trash ──▶ gone                                at once, or once its last clone has gone

What was not finished has a name of its own each time: of a client that was killed the cluster keeps the lock
for half a minute, and the next one need not wait for that. In the trash nothing is freed but what is named so.
"""

import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from pumice.backends.rbd_bytes import Windows
from pumice.backends.rbd_images import Cluster, HasClones, InUse, IsThere, PoolFull, RbdImages
from pumice.host.thread import in_thread
from pumice.images.store import Adopted
from pumice.model.errors import Invalid, NotFound, Retryable, TooLarge, TryAnotherBackend
from pumice.model.ids import ImageId, is_canonical
from pumice.model.image_location import SNAPSHOT, RbdLocation

_PART = re.compile(r"([0-9a-f-]{36})\.[0-9a-f]{8}\.part")


class RbdStore:
    """The images in ``pool``. In ``directory`` files appear by which they are read here."""

    def __init__(self, cluster: Cluster, pool: str, directory: Path) -> None:
        self._images = RbdImages(cluster, pool)
        self._windows = Windows(directory)
        self._is_cleared = False

    async def keep(self, image_id: ImageId, part: Path) -> RbdLocation:
        images = self._images

        async def fill(new: str) -> None:
            await images.create(new, _in_sectors((await in_thread(part.stat)).st_size))
            await images.fill(new, part)

        location = await self._make(image_id, fill)
        await in_thread(part.unlink, True)
        return location

    async def adopt(self, image_id: ImageId, location: RbdLocation) -> Adopted:
        images, theirs = self._images, self._images.in_pool(location.pool)
        with _explained():
            if await images.fsid() != location.fsid:
                raise Invalid(f"{location.url} lies in another cluster than images do here.")
        if (location.pool, location.image) == (images.pool, image_id):
            raise Invalid(f"{location.url} is where image {image_id} is to come: it cannot be there already.")

        size = 0

        async def fill(new: str) -> None:
            nonlocal size
            try:
                await theirs.clone(location.image, location.snapshot, images, new)
            except NotFound:
                raise Invalid(f"There is nothing at {location.url}.") from None
            size = (await images.image(new)).size
            if size != _in_sectors(size):
                await images.resize(new, _in_sectors(size))

        return Adopted(await self._make(image_id, fill), size)

    async def _make(self, image_id: ImageId, fill: Callable[[str], Awaitable[None]]) -> RbdLocation:
        """An image of the name that ``fill`` is told, with its snapshot, as this one."""
        images, new = self._images, f"{image_id}.{secrets.token_hex(4)}.part"
        with _explained():
            if image_id not in await images.names_from(image_id):
                await fill(new)
                await images.snap(new, SNAPSHOT)
                await images.protect_snap(new, SNAPSHOT)
                with suppress(IsThere):
                    await images.rename(new, image_id)
            return RbdLocation(await images.fsid(), images.pool, image_id, SNAPSHOT)

    async def remove(self, image_id: ImageId) -> None:
        with _explained():
            await self._throw_away(image_id)
            await self._free(image_id)

    async def clear(self, image_id: ImageId) -> None:
        with _explained():
            names = await self._images.names_from(f"{image_id}.")
            for name in filter(_PART.fullmatch, names):
                await self._throw_away(name)
            if names:
                await self._free(image_id)

    @asynccontextmanager
    async def opened(self, image_id: ImageId) -> AsyncIterator[Path]:
        with _explained():
            try:
                found = await self._images.image(image_id)
            except NotFound:
                raise NotFound("Image", image_id) from None
        if not found.size:  # where nothing is, QEMU shows no file
            yield Path(os.devnull)
            return
        async with self._windows.opened(self._images, image_id, read_only=True) as file:
            yield file

    async def kept(self) -> frozenset[ImageId]:
        with _explained():
            return frozenset(ImageId(name) for name in await self._images.names() if is_canonical(name))

    async def tidy(self) -> None:
        if not self._is_cleared:  # of what processes left that were killed
            await self._windows.clear()
            self._is_cleared = True
        with _explained():
            await self._free()

    async def _throw_away(self, name: str) -> None:
        """Into the trash, from where it is freed: snapshots and clones are in nobody's way there."""
        with suppress(NotFound):
            await self._images.discard(name)

    async def _free(self, image_id: str = "") -> None:
        """Free what waits in the trash: everything of ours, or of one image."""
        for name, known in await self._images.trash():
            part = _PART.fullmatch(name)
            whose = part[1] if part else name
            if is_canonical(whose) and image_id in ("", whose):
                with suppress(HasClones, InUse, NotFound):
                    await self._images.remove_from_trash(known)


def _in_sectors(size: int) -> int:
    """As many bytes as whole sectors have: QEMU ends itself over the last one of an image that has others."""
    return size + -size % 512


@contextmanager
def _explained() -> Iterator[None]:
    """What a pool cannot do, for the person who uploads or reads."""
    try:
        yield
    except InUse as error:
        raise Retryable("The image is being read, or was just a moment ago.", error.in_full) from None
    except PoolFull as error:
        raise TooLarge("There is no space left to keep the image's bytes.") from error
    except TryAnotherBackend as error:
        raise Retryable("The place where images are kept cannot be used.", error.in_full) from error

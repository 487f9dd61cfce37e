"""Images as files of a directory, each named after its image's id, beside what is on its way there."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pumice.host.durable import sync
from pumice.images.store import Adopted
from pumice.model.errors import Invalid
from pumice.model.ids import ImageId, is_canonical
from pumice.model.image_location import RbdLocation

Do = Callable[..., Awaitable[Any]]
"""Blocking work, done in threads of the directory."""


class DirectoryStore:
    """The files of a ``directory``; ``do`` does what may hang there."""

    def __init__(self, directory: Path, do: Do) -> None:
        self._directory = directory
        self._do = do

    async def keep(self, image_id: ImageId, part: Path) -> None:
        await self._do(part.replace, self._path(image_id))
        await self._do(sync, self._directory)

    async def adopt(self, image_id: ImageId, location: RbdLocation) -> Adopted:
        raise Invalid(f"Images are no part of a cluster here: {image_id} cannot be made of {location.url}.")

    async def remove(self, image_id: ImageId) -> None:
        await self._do(self._path(image_id).unlink, True)

    async def clear(self, image_id: ImageId) -> None:
        """Nothing: a file gets its name at once."""

    @asynccontextmanager
    async def opened(self, image_id: ImageId) -> AsyncIterator[Path]:
        yield self._path(image_id)

    async def kept(self) -> frozenset[ImageId]:
        names = await self._do(os.listdir, self._directory)
        return frozenset(ImageId(name) for name in names if is_canonical(name))

    async def tidy(self) -> None:
        """Nothing: what was removed is gone."""

    def _path(self, image_id: ImageId) -> Path:
        return self._directory / image_id

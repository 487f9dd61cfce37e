"""Where the bytes of images are kept: what a store must do, checked by ``tests/images/test_image_stores.py``.

A store is told ids, and files that came in and were found good. It knows no row and no lock: whoever calls it
to change an image is the only one who does (``files.py``). What it keeps is whole, and never changes.

* **Idempotent.** Asked twice, the second call finds the work done; what was cut short is begun anew.
* **Errors.** ``NotFound``: no such image. ``TooLarge``: no room. ``Retryable``: waiting may help.
  ``OSError`` of a directory is explained by who calls.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pumice.model.ids import ImageId
from pumice.model.image_location import RbdLocation


@dataclass(frozen=True, slots=True)
class Adopted:
    """An image that was made of one that lay elsewhere. ``size`` in bytes."""

    location: RbdLocation
    size: int


class ImageStore(Protocol):
    """One place for the bytes of all images."""

    async def keep(self, image_id: ImageId, part: Path) -> RbdLocation | None:
        """Keep the bytes of the file ``part``, which is on disk, durably, and take the file away.

        Where they lie, if others can find them there.
        """

    async def adopt(self, image_id: ImageId, location: RbdLocation) -> Adopted:
        """Keep what lies at a location, of which nothing is copied and nothing taken away.

        Raises ``Invalid`` where that is not possible.
        """

    async def remove(self, image_id: ImageId) -> None:
        """Keep an image no longer. One that is not kept is fine."""

    async def clear(self, image_id: ImageId) -> None:
        """Remove what calls for this image that were cut short have left."""

    def opened(self, image_id: ImageId) -> AbstractAsyncContextManager[Path]:
        """A file with an image's bytes, to be read until it is closed. It may be longer, by zeroes.

        Raises ``NotFound``, there or when the file is opened (``FileNotFoundError``).
        """

    async def kept(self) -> frozenset[ImageId]:
        """The images that are here."""

    async def tidy(self) -> None:
        """Free what could not be freed when it was removed."""

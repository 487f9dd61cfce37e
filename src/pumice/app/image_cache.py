"""``pumice image-cache``: which bases of images the pools keep, and the end of one."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, short, table, when
from pumice.model.errors import Invalid, InvalidState, NotFound
from pumice.model.image_base import ImageBase
from pumice.store import image_bases
from pumice.store.database import Database
from pumice.volumes.bases import evict as verb


def print_list(settings: Settings, *, as_json: bool, wide: bool) -> None:
    """Print a table of every base, by pool, what was used last first."""
    found = asyncio.run(_every(settings))
    if as_json:
        print_json([asdict(base) for base in found])
        return
    whole = ("id", "image", "GiB", "status", "uses", "used")
    shown = table("id", "image", "pool", "GiB", "status", "uses", "used", whole=whole)
    for base in found:
        numbers = (str(base.size), base.status.value, str(base.uses), when(base.used_at))
        shown.add_row(short(base.id, wide), short(base.image_id, wide), plain(base.pool), *numbers)
    console().print(shown if found else "None.")


def evict(settings: Settings, characters: str | None, *, everything: bool) -> None:
    """Begin to evict the base, or those of the image, whose id begins so; or all of them.

    Raises ``NotFound``, ``Invalid``, or ``InvalidState`` while the one is used or made.
    """
    if everything is (characters is not None):
        raise Invalid("Name one base by its id, or its image by its; or all of them by --all.")
    begun, busy = asyncio.run(_evict(settings, characters or ""))
    print(f"{begun} are being evicted.{f' {busy} are in use or on their way just now.' if busy else ''}")


async def _every(settings: Settings) -> Sequence[ImageBase]:
    async with existing(settings) as db:
        return await db.read(image_bases.every)


async def _evict(settings: Settings, characters: str) -> tuple[int, int]:
    async with existing(settings) as db:
        every = await db.read(image_bases.every)
        found = [base for base in every if any(it.startswith(characters) for it in (base.id, base.image_id))]
        if not found and characters:
            raise NotFound("Image base", characters)
        if len({base.image_id for base in found}) > 1 and characters:
            raise Invalid(f"Several images or bases have ids that begin with '{characters}'.")
        begun = [await _begins(db, base, alone=len(found) == 1) for base in found]
    return sum(begun), len(begun) - sum(begun)


async def _begins(db: Database, base: ImageBase, *, alone: bool) -> bool:
    if alone:
        await db.write(verb.accept, base.id)
        return True
    with suppress(InvalidState, NotFound):
        await db.write(verb.accept, base.id)
        return True
    return False

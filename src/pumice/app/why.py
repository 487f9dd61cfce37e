"""``pumice why ID``: the paragraph of ``operations/why.py``, printed."""

import asyncio
import textwrap

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.operations.why import told


def run(settings: Settings, beginning: str) -> None:
    """Print the paragraph. Raises ``NotFound``, or ``Invalid`` when several ids begin so."""
    print(textwrap.fill(asyncio.run(_told(settings, beginning)), 100, break_on_hyphens=False))


async def _told(settings: Settings, beginning: str) -> str:
    async with existing(settings) as db:
        return await db.read(told, beginning, settings.tunables())

"""``pumice console-link``: a link that logs a browser in to the console, once, within ten minutes.

For who may read the installation's database, and so may do anything anyway. The secret is in the link's
fragment, which browsers send to nobody; no log has it.
"""

import asyncio

import yaml

from pumice.app.database import existing
from pumice.app.passwords import clouds_file
from pumice.app.settings import Settings
from pumice.identity import links
from pumice.store.database import Database


def run(settings: Settings, user: str, project: str) -> None:
    """Print a link."""
    print(asyncio.run(_made(settings, user, project)))


async def _made(settings: Settings, user: str, project: str) -> str:
    async with existing(settings) as db:
        return await link(db, address(settings), user, project)


async def link(db: Database, url: str, user: str = "admin", project: str = "admin") -> str:
    """A new link to the console at ``url``. Raises ``NotFound`` or ``Unauthenticated``."""
    return f"{url}/console/#link={await db.write(links.make, user, project)}"


def address(settings: Settings) -> str:
    """Where Pumice serves, as ``clouds.yaml`` tells clients since its last start."""
    try:
        [cloud, *_] = yaml.safe_load(clouds_file(settings).read_text())["clouds"].values()
        return str(cloud["auth"]["auth_url"]).removesuffix("/identity")
    except (OSError, KeyError, TypeError, ValueError):
        return settings.api.public_url or f"http://{settings.api.host}:{settings.api.port}"

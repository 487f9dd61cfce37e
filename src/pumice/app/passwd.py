"""``pumice passwd USER``: set a user's password anew, whether the old one is known or not.

For who may read the installation's database, and so may do anything anyway.
"""

import asyncio
import secrets
import sys
from getpass import getpass

from pumice.app.database import existing
from pumice.app.passwords import remember
from pumice.app.settings import Settings
from pumice.identity import users
from pumice.identity.bootstrap import DOMAIN
from pumice.identity.passwords import LONGEST, hash_now
from pumice.model.errors import Invalid, NotFound
from pumice.store import users as rows
from pumice.store.database import Transaction


def run(settings: Settings, user: str, *, generate: bool) -> None:
    """Ask for the password, or make one; set it, and write it where this host's clients look."""
    password = secrets.token_urlsafe(16) if generate else _asked(user)
    if not 0 < len(password) <= LONGEST:
        raise Invalid(f"A password has 1 to {LONGEST} characters.")
    asyncio.run(_set(settings, user, password))
    told = remember(settings, user, password)
    print(password if generate else f"The password of '{user}' is set; its tokens are not valid any more.")
    if told:
        print("clouds.yaml and passwords.yaml of this host have it.", file=sys.stderr)


def _asked(user: str) -> str:
    """The new password: typed twice at the terminal, else the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass(f"New password of '{user}': ")
    if getpass("Once more: ") != password:
        raise Invalid("The two are not the same; nothing was changed.")
    return password


async def _set(settings: Settings, user: str, password: str) -> None:
    hashed = hash_now(password)

    def work(tx: Transaction) -> None:
        row = rows.named(tx, user, domain_id=DOMAIN)
        if row is None:
            raise NotFound("User", user)
        users.change(tx, row["id"], {"password_hash": hashed}, {})

    async with existing(settings) as db:
        await db.write(work)

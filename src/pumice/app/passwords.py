"""The first users' passwords: chosen once for a state directory, by whichever process starts there first.

They are kept in ``passwords.yaml``. Processes that start at once take turns, so that all of them set and tell
the same; whoever is killed while writing leaves the file as it was. What is kept need not be true any more: a
password may have been changed through the API since, or the database may have been furnished from elsewhere. So
it is told to nobody before it was checked. That takes tens of milliseconds, on purpose, so what was right is
noted in ``passwords.right``.
"""

import asyncio
import fcntl
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from pumice.app.settings import Settings
from pumice.identity.bootstrap import DOMAIN
from pumice.identity.clouds import with_password, write_passwords
from pumice.identity.passwords import matches
from pumice.loops.every import whenever
from pumice.store import users
from pumice.store.database import Database, Transaction
from pumice.store.tokens import CHANGED

USERS = ("admin", "demo", "pumice")
NOTED_SECONDS = 1.0
"""After it ``pumice passwd`` has noted on this host what it set."""


def first_passwords(settings: Settings) -> dict[str, str]:
    """The passwords for a first start: from the settings, else of an earlier try, else new ones."""
    with _kept(settings) as kept:
        kept |= {user: password for user, password in _given(settings).items() if password}
        kept |= {user: secrets.token_urlsafe(16) for user in USERS if user not in kept}
        return dict(kept)


def known_passwords(settings: Settings) -> dict[str, str]:
    """The passwords that the settings and an earlier start tell, whether they are right or not."""
    with _kept(settings) as kept:
        return kept | {user: password for user, password in _given(settings).items() if password}


def _given(settings: Settings) -> dict[str, str | None]:
    it = settings.identity
    return {"admin": it.admin_password, "demo": it.demo_password, "pumice": it.service_password}


async def true_ones(
    db: Database, settings: Settings, known: Mapping[str, str], made: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The known passwords with which the first users can log in at this moment.

    ``made`` has hashes that this process made of them: these need no check.
    """
    hashed = await db.read(_hashes)
    pairs = {user: _pair(password, hashed[user]) for user, password in known.items()}
    noted = settings.state_dir / "passwords.right"
    before = set(noted.read_text().split()) if noted.exists() else set()
    asked = [user for user in known if pairs[user] not in before and hashed[user] != (made or {}).get(user, "")]
    answers = await asyncio.gather(*(matches(known[user], hashed[user]) for user in asked))
    wrong = {user for user, right in zip(asked, answers, strict=True) if not right}
    true = {user: password for user, password in known.items() if user not in wrong}
    with _kept(settings) as kept:
        right = {
            pairs[user] for user in true if kept.get(user) == true[user]
        }  # of one that is kept nowhere: nothing
    if right != before:
        write_passwords(noted, "".join(f"{pair}\n" for pair in sorted(right)))
    return true


def _pair(password: str, hashed: str | None) -> str:
    """What tells a password that was checked against a hash from every other such pair."""
    return hashlib.sha256(f"{hashed}\0{password}".encode()).hexdigest()


def _hashes(tx: Transaction) -> dict[str, str | None]:
    rows = {user: users.named(tx, user, domain_id=DOMAIN) for user in USERS}
    return {user: users.password_hash(tx, row["id"]) if row else None for user, row in rows.items()}


async def keep_true(db: Database, settings: Settings, tell: Callable[[Mapping[str, str]], object]) -> None:
    """``tell`` the passwords that are still true whenever one was set anew, here or by another host."""
    hashed: dict[str, str | None] = {}

    async def look() -> None:
        before = dict(hashed)
        hashed.update(await db.read(_hashes))
        if before and before != hashed:
            await asyncio.sleep(NOTED_SECONDS)
            tell(await true_ones(db, settings, known_passwords(settings)))

    await whenever(db, CHANGED, look, "passwords")


def remember(settings: Settings, user: str, password: str) -> bool:
    """Keep the new password of one of the first users, and tell the clients of this host. False for others."""
    if user not in USERS:
        return False
    with _kept(settings) as kept:
        kept[user] = password
    clouds = clouds_file(settings)
    if clouds.exists():
        write_passwords(clouds, with_password(clouds.read_text(), user, password))
    return True


def forget(settings: Settings, passwords: Mapping[str, str]) -> None:
    """Keep these no more: they were chosen here for a first start that another host has made."""
    with _kept(settings) as kept:
        for user in kept.keys() & passwords.keys():
            if kept[user] == passwords[user]:
                del kept[user]


def clouds_file(settings: Settings) -> Path:
    """The path of the clients' ``clouds.yaml``."""
    return settings.state_dir.absolute() / "clouds.yaml"


@contextmanager
def _kept(settings: Settings) -> Iterator[dict[str, str]]:
    """What is kept, to be changed in place; written at the end if it was, while no other process does."""
    path = settings.state_dir / "passwords.yaml"
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held for the time of a small write, before anything is served
        before = yaml.safe_load(path.read_text()) if path.exists() else {}
        after = dict(before)
        yield after
        if after != before:
            write_passwords(path, yaml.safe_dump(after))

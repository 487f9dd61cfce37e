"""``pumice secrets rotate``: other CHAP passwords for attachments that stand."""

import asyncio
import sys
from collections.abc import Iterable, Sequence

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import plain
from pumice.app.verbs import set_deadlines
from pumice.attachments import rotate
from pumice.model.errors import Invalid, NotFound, PumiceError, in_full
from pumice.store import attachments, names, things
from pumice.store import operations as log
from pumice.store.database import Database, Transaction
from pumice.store.things import Thing

LOOK_SECONDS = 0.2
AT_ONCE = 16
"""How many passwords are changed at a time, so that nobody else waits long for the workers of a host."""
KNOWS = """\
Servers that run keep their sessions, and know only the password before: one whose connection breaks gets in
again after a hard reboot (openstack server reboot --hard). Whatever starts has the new one."""


def run(settings: Settings, words: Sequence[str], *, every: bool) -> bool:
    """Rotate, and print how each ended. Whether all went well. Raises ``NotFound`` or ``Invalid``."""
    set_deadlines(settings.operations.deadlines)
    return asyncio.run(_run(settings, words, every=every))


async def _run(settings: Settings, words: Sequence[str], *, every: bool) -> bool:
    async with existing(settings) as db:
        wanted = await (db.read(attachments.of_our_servers) if every else db.read(meant, words))
        print(f"Attachments to get another password: {len(wanted)}.")
        failed = 0
        for first in range(0, len(wanted), AT_ONCE):
            some = wanted[first : first + AT_ONCE]
            for link, error in zip(some, await asyncio.gather(*(_one(db, it) for it in some)), strict=True):
                if error:
                    failed += 1
                    print(f"{link}: {plain(error)}", file=sys.stderr)
        print(f"Rotated: {len(wanted) - failed}. Failed, and as before: {failed}.")
        if len(wanted) > failed:
            print(KNOWS)
        return not failed


async def _one(db: Database, attachment_id: str) -> str | None:
    """Rotate one, and wait. Why it failed; None if it did not."""
    try:
        operation = await db.write(rotate.accept, attachment_id)
    except PumiceError as error:
        return in_full(error)
    while True:
        row = await db.read(log.get, operation)
        if row is None or row["settled"] or row["state"] not in log.UNDER_WAY:
            return None if row is None or row["state"] == "done" else str(row["error"])
        await asyncio.sleep(LOOK_SECONDS)


def meant(tx: Transaction, words: Iterable[str]) -> list[str]:
    """The attachments that are meant by ids, their beginnings and names: of attachments, volumes, servers.

    Raises ``NotFound``, or ``Invalid`` where several things are called so.
    """
    found: dict[str, None] = {}
    for word in words:
        links = [link for thing in _called(tx, word) for link in _links(tx, thing)]
        if not links:
            raise NotFound("Attachment, or attached volume or server", word)
        found |= dict.fromkeys(link.id for link in links)
    return list(found)


def _called(tx: Transaction, word: str) -> list[Thing]:
    ids = [word, *names.things(tx, word)]
    kinds = {"attachment", "volume", "server"}
    found = {it.id: it for one in ids for it in things.beginning_with(tx, one) if it.kind in kinds}
    if len(found) > 1 and word not in found:
        raise Invalid(f"Several are called or begin with {word}: {', '.join(sorted(found))}.")
    return [found[word]] if word in found else list(found.values())


def _links(tx: Transaction, thing: Thing) -> Sequence[Thing]:
    return [thing] if thing.kind == "attachment" else things.users(tx, thing)

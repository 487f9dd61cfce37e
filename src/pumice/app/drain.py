"""``pumice hosts drain`` and ``resume``: give a host or a backend nothing new, and tell what is still there."""

import asyncio
import getpass
import os
import sys
import time
from dataclasses import asdict

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, short, table
from pumice.model.errors import Invalid, NotFound
from pumice.store import remains
from pumice.store.database import Transaction

LOOK_SECONDS = 0.5
LONGEST_REASON = 255


def drain(
    settings: Settings, name: str, reason: str, *, seconds: float | None, as_json: bool, wide: bool
) -> bool:
    """Close it, wait until nothing is under way there, and print what lives there.

    ``seconds`` is how long is waited at most. Returns whether nothing is under way. Raises ``NotFound``, or
    ``Invalid`` for a reason that is longer than the API's.
    """
    if len(reason) > LONGEST_REASON:
        raise Invalid(f"A reason has at most {LONGEST_REASON} characters.")
    going, left = asyncio.run(_drain(settings, name, reason, seconds))
    if as_json:
        print_json({"name": name, "under_way": going, "left": [asdict(thing) for thing in left]})
        return not going
    if going:
        print(f"Still under way: {_told(going)}. Ask again, or see 'pumice operations list --running'.")
    if not left:
        print(f"{name} is empty.")
        return not going
    print(f"{name} is given nothing new. What still lives there:")
    shown = table("kind", "id", "name", "status", "project", whole=("kind", "id", "status"))
    for it in left:
        shown.add_row(
            it.kind, short(it.id, wide), plain(it.name or ""), it.status, plain(short(it.project_id, wide))
        )
    console().print(shown)
    return not going


def resume(settings: Settings, name: str) -> None:
    """Let a drained place be chosen again. Raises ``NotFound``."""

    async def work() -> list[str]:
        async with existing(settings) as db:
            return await db.write(_close, name, False, None)

    print(f"Chosen again: {', '.join(asyncio.run(work()))}.")


def _close(tx: Transaction, name: str, closed: bool, reason: str | None) -> list[str]:
    if not (found := remains.close(tx, name, closed, reason, f"{_login()} (pumice hosts drain)")):
        raise NotFound("Host or backend", name)
    return found


async def _drain(
    settings: Settings, name: str, reason: str, seconds: float | None
) -> tuple[dict[str, int], list[remains.Thing]]:
    until = time.monotonic() + seconds if seconds is not None else None
    said = ""
    async with existing(settings) as db:
        await db.write(_close, name, True, reason)
        while going := await db.read(remains.under_way, name):
            if said != (now := _told(going)):
                print(f"Under way: {now} …", file=sys.stderr)
                said = now
            if until is not None and time.monotonic() > until:
                break
            await asyncio.sleep(LOOK_SECONDS)
        return going, await db.read(remains.left, name)


def _login() -> str:
    """The name of the user who runs this command, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return f"uid {os.getuid()}"


def _told(going: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in going.items())

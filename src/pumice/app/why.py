"""``pumice why ID``: in one paragraph, what state a thing is in, since when and why, and what happens next.

For volumes, snapshots, attachments, servers and operations, by their ids, an id's first characters, or a name.
"""

import asyncio
import textwrap
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.loops import abandoned
from pumice.model.errors import Invalid, NotFound
from pumice.store import hosts, names, services, things, transitional
from pumice.store import operations as log
from pumice.store.database import Transaction
from pumice.store.things import Thing
from pumice.store.transitional import Left


def run(settings: Settings, beginning: str) -> None:
    """Print the paragraph. Raises ``NotFound``, or ``Invalid`` when several ids begin so."""
    print(textwrap.fill(asyncio.run(_told(settings, beginning)), 100, break_on_hyphens=False))


async def _told(settings: Settings, beginning: str) -> str:
    async with existing(settings) as db:
        return await db.read(told, beginning, settings)


def told(tx: Transaction, beginning: str, settings: Settings) -> str:
    """The explanation as a paragraph."""
    found = things.beginning_with(tx, beginning) or [
        thing for named in names.things(tx, beginning) for thing in things.beginning_with(tx, named)
    ]
    exact = [thing for thing in found if thing.id == beginning]
    if not found:
        raise NotFound("Thing", beginning)
    if len(found) > 1 and len(exact) != 1:
        told_apart = ", ".join(f"{thing.kind} {thing.id}" for thing in found)
        raise Invalid(f"Several are called or begin with {beginning}: {told_apart}.")
    return " ".join(_sentences(tx, (exact or found)[0], settings))


def _sentences(tx: Transaction, thing: Thing, settings: Settings) -> list[str]:
    if thing.kind == "operation":
        row = log.get(tx, thing.id)
        assert row is not None
        return [f"Operation {thing.id} ({row['kind']}) is {row['state']}.", *_operation(tx, row, settings)]
    since = f" since {_moment(thing.since)}" if thing.since else ""
    said = [f"{thing.kind.capitalize()} {thing.id} is {thing.status}{since}."]
    row = log.get(tx, thing.operation_id) if thing.operation_id else None
    if row is not None and row["state"] in log.UNDER_WAY:
        said += [f"Operation {row['id']} ({row['kind']}) is at work on it.", *_operation(tx, row, settings)]
    elif left := transitional.left(tx, thing.id):
        said += _abandoned(left[0], settings)
    else:
        said += _others(tx, thing, settings)
    if thing.reason:
        said.append(f"The last thing that was said of it: {thing.reason}")
    return said


def _abandoned(one: Left, settings: Settings) -> list[str]:
    """Sentences on what a client left between two calls: who may come back, and until when."""
    limit = settings.repair.abandoned_seconds
    end = "is taken to be in use by who was let in" if one.connected else "is let go"
    if one.since is None:
        return ["An administrator put it there, and nobody holds it: that is undone within minutes."]
    latest = one.since + timedelta(seconds=limit + abandoned.SECONDS * 1.1)
    ask = {
        "volume": "'os-unreserve' or 'os-roll_detaching' by its owner does it at once",
        "attachment": "its owner can delete the attachment at once",
    }[one.kind]
    return [
        "A client left it between two calls of its own, and no operation holds it.",
        f"If that client does not come back, it {end} at {_moment(latest)} at the latest; {ask}.",
    ]


def _operation(tx: Transaction, row: log.Row, settings: Settings) -> list[str]:
    """Sentences on an operation: where it is, what it met, what happens next, and when at the latest."""
    if row["state"] not in log.UNDER_WAY:
        why = f": {row['error']}" if row["error"] else "."
        return [
            f"It ended at {_moment(row['finished_at'])}{why}" if row["finished_at"] else f"It has ended{why}"
        ]
    position = min(max(row["position"], 0), len(row["steps"]) - 1)
    step = row["steps"][position]
    doing = {"undoing": f"It takes back '{step}'", "waiting": f"It waits in '{step}' for others"}
    said = [
        f"{doing.get(row['state'], f'It does {step!r}')} at {row['place']}, begun {_moment(row['created_at'])}."
    ]
    lines = [line["error"] for line in log.lines(tx, row["id"]) if line["error"]]
    if row["error"] or lines:
        said.append(f"It met: {row['error'] or lines[-1]}")
    if absent := _absent(tx, row["place"], settings):
        said.append(absent)
    deadline = datetime.fromtimestamp(row["deadline"], UTC).replace(tzinfo=None)
    if row["settled"]:
        said.append("How it ended was told already; what is left to clean is tried until it succeeds.")
    elif row["deadline"] < time.time():
        said.append("Its time is over: it is ended with an explanation within seconds.")
    else:
        said.append(f"It ends, done or with an explanation, by {_moment(deadline)}.")
    return said


def _absent(tx: Transaction, place: str, settings: Settings) -> str | None:
    """Say what is known of a host that does not serve its place."""
    _, _, where = place.partition(":")
    host = hosts.find(tx, where.partition("@")[0]) if where else None
    if host is None or any(
        services.is_up(row, settings.tunables().service_down_seconds) for row in host.services
    ):
        return None
    heard = f"was last heard of at {_moment(host.heard_at)}" if host.heard_at else "has no services any more"
    return (
        f"Host {host.name} {heard}; if it is gone for good, 'pumice hosts forget {host.name}' ends the waiting."
    )


def _others(tx: Transaction, thing: Thing, settings: Settings) -> list[str]:
    """Say what else is under way about it, or nothing."""
    rows: Any = log.page(tx, states=log.UNDER_WAY, kind=None, subject=thing.id, limit=1)
    users = [f"attachment {one.id} ({one.status})" for one in things.users(tx, thing)]
    said = [f"It has {', '.join(users)}: 'pumice why' tells of each."] if users else []
    if rows:
        return [
            *said,
            f"Operation {rows[0]['id']} ({rows[0]['kind']}) is about it.",
            *_operation(tx, rows[0], settings),
        ]
    return [*said, "Nothing is under way on it, and nothing will change by itself."]


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"

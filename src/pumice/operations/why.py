"""In one paragraph, what state a thing is in, since when and why, and what happens next.

For volumes, snapshots, attachments, servers and operations, by their ids; an operator also by an id's first
characters, or a name. ``pumice why`` prints it, and the API tells it: to who may not see hosts it names none.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from pumice.model.errors import Invalid, NotFound
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.model.tunables import Tunables
from pumice.store import hosts, names, services, things, transitional
from pumice.store import operations as log
from pumice.store.database import Transaction
from pumice.store.things import Thing
from pumice.store.transitional import Left


def told(tx: Transaction, beginning: str, tunables: Tunables) -> str:
    """The explanation as a paragraph, for an operator. Raises ``NotFound``, ``Invalid`` if several begin so."""
    found = things.beginning_with(tx, beginning) or [
        thing for named in names.things(tx, beginning) for thing in things.beginning_with(tx, named)
    ]
    exact = [thing for thing in found if thing.id == beginning]
    if not found:
        raise NotFound("Thing", beginning)
    if len(found) > 1 and len(exact) != 1:
        told_apart = ", ".join(f"{thing.kind} {thing.id}" for thing in found)
        raise Invalid(f"Several are called or begin with {beginning}: {told_apart}.")
    return explained(tx, (exact or found)[0], tunables)


def visible(tx: Transaction, who: Scope, thing_id: str) -> Thing:
    """The thing of this id, if the caller may see it. Raises ``NotFound``."""
    for thing in things.beginning_with(tx, thing_id):
        if thing.id == thing_id and (who.is_admin or thing.project_id == who.project_id):
            return thing
    raise NotFound("Thing", thing_id)


def explained(tx: Transaction, thing: Thing, tunables: Tunables, *, inside: bool = True) -> str:
    """The paragraph on a thing. Without ``inside`` it says nothing of hosts, or of what only operators read."""
    text = " ".join(_Told(tx, tunables, inside).sentences(thing))
    return text if inside else hosts.hidden(tx, text)


class _Told:
    """What one paragraph is made of."""

    def __init__(self, tx: Transaction, tunables: Tunables, inside: bool) -> None:
        self.tx = tx
        self.tunables = tunables
        self.inside = inside

    def sentences(self, thing: Thing) -> list[str]:
        if thing.kind == "operation":
            row = log.get(self.tx, thing.id)
            assert row is not None
            return [f"Operation {thing.id} ({row['kind']}) is {row['state']}.", *self._operation(row)]
        since = f" since {_moment(thing.since)}" if thing.since else ""
        said = [f"{thing.kind.capitalize()} {thing.id} is {thing.status}{since}."]
        row = log.get(self.tx, thing.operation_id) if thing.operation_id else None
        if row is not None and row["state"] in log.UNDER_WAY:
            said += [f"Operation {row['id']} ({row['kind']}) is at work on it.", *self._operation(row)]
        elif left := transitional.left(self.tx, thing.id):
            said += self._abandoned(left[0])
        elif thing.status == VolumeStatus.RECYCLED:
            said.append(
                "It was deleted, and is kept in the recycle bin: it can be restored until its time is over."
            )
        else:
            said += self._others(thing)
        if thing.reason:
            said.append(f"The last thing that was said of it: {thing.reason}")
        return said

    def _abandoned(self, one: Left) -> list[str]:
        """Sentences on what a client left between two calls: who may come back, and until when."""
        end = "is taken to be in use by who was let in" if one.connected else "is let go"
        if one.since is None:
            return ["An administrator put it there, and nobody holds it: that is undone within minutes."]
        limit = self.tunables.abandoned_seconds + transitional.LOOK_SECONDS * 1.1
        latest = one.since + timedelta(seconds=limit)
        ask = {
            "volume": "'os-unreserve' or 'os-roll_detaching' by its owner does it at once",
            "attachment": "its owner can delete the attachment at once",
        }[one.kind]
        return [
            "A client left it between two calls of its own, and no operation holds it.",
            f"If that client does not come back, it {end} at {_moment(latest)} at the latest; {ask}.",
        ]

    def _operation(self, row: log.Row) -> list[str]:
        """Sentences on an operation: where it is, what it met, what happens next, and when at the latest."""
        if row["state"] not in log.UNDER_WAY:
            why = f": {row['error']}" if row["error"] else "."
            return [
                f"It ended at {_moment(row['finished_at'])}{why}"
                if row["finished_at"]
                else f"It has ended{why}"
            ]
        position = min(max(row["position"], 0), len(row["steps"]) - 1)
        step = row["steps"][position]
        doing = {"undoing": f"It takes back '{step}'", "waiting": f"It waits in '{step}' for others"}
        at = f" at {row['place']}" if self.inside else ""
        said = [f"{doing.get(row['state'], f'It does {step!r}')}{at}, begun {_moment(row['created_at'])}."]
        lines = [line["error"] for line in log.lines(self.tx, row["id"]) if line["error"]]
        if met := row["error"] or (lines[-1] if lines else None):
            said.append(f"It met: {met}" if self.inside else "It met trouble, and is tried again.")
        if absent := self._absent(row["place"]):
            said.append(absent)
        deadline = datetime.fromtimestamp(row["deadline"], UTC).replace(tzinfo=None)
        if row["settled"]:
            said.append("How it ended was told already; what is left to clean is tried until it succeeds.")
        elif row["deadline"] < time.time():
            said.append("Its time is over: it is ended with an explanation within seconds.")
        else:
            said.append(f"It ends, done or with an explanation, by {_moment(deadline)}.")
        return said

    def _absent(self, place: str) -> str | None:
        """Say what is known of a host that does not serve its place."""
        _, _, where = place.partition(":")
        host = hosts.find(self.tx, where.partition("@")[0]) if where else None
        down = self.tunables.service_down_seconds
        if host is None or any(services.is_up(row, down) for row in host.services):
            return None
        heard = (
            f"was last heard of at {_moment(host.heard_at)}" if host.heard_at else "has no services any more"
        )
        if not self.inside:
            return f"The host that is to do it {heard}."
        return (
            f"Host {host.name} {heard}; if it is gone for good, 'pumice hosts forget {host.name}' ends the "
            "waiting."
        )

    def _others(self, thing: Thing) -> list[str]:
        """Say what else is under way about it, or nothing."""
        rows: Any = log.page(self.tx, states=log.UNDER_WAY, kind=None, subject=thing.id, limit=1)
        users = [f"attachment {one.id} ({one.status})" for one in things.users(self.tx, thing)]
        said = [f"It has {', '.join(users)}: ask why by an attachment's id to learn more."] if users else []
        if rows:
            about = f"Operation {rows[0]['id']} ({rows[0]['kind']}) is about it."
            return [*said, about, *self._operation(rows[0])]
        return [*said, "Nothing is under way on it, and nothing will change by itself."]


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"

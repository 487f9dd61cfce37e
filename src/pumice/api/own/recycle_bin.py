"""The recycle bin: what was deleted and is kept for a while; to have one back, or to have it gone now."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, View
from pumice.api.own import shapes
from pumice.api.own.rules import all_projects
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route
from pumice.model.errors import Conflict, Invalid, InvalidState
from pumice.model.scope import Scope
from pumice.model.states import VolumeStatus
from pumice.store import clock
from pumice.store import recycle_bin as rows
from pumice.store.database import Transaction
from pumice.store.recycle_bin import Entry
from pumice.volumes.recycle_bin import purge, restore

_FILTERS = ("kind", "name", "volume_id", "project_id")
_KINDS = ("volume", "snapshot")
_PLAIN = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "offset", "all_projects", *_FILTERS})


def _conditions(call: Call) -> Sequence[Any]:
    if unknown := call.query.keys() - _PLAIN:
        raise Invalid(f"There is no filter '{min(unknown)}'. There are {', '.join(_FILTERS)}.")
    asked = {name: value for name, value in call.query.items() if name in _FILTERS}
    if asked.get("kind", "volume") not in _KINDS:
        raise Invalid(f"There is no kind '{asked['kind'][:50]}'. There are {', '.join(_KINDS)}.")
    return [rows.is_(name, value) for name, value in asked.items()]


LIST: Collection[Entry] = Collection(
    rows.KEYS, _conditions, rows.page, everywhere=all_projects, by="recycled_at"
)


def view(seconds: float, entry: Entry) -> dict[str, Any]:
    """What is in the bin, when it is ``seconds`` there."""
    until, told = max(entry.recycled_until - seconds, 0.0), entry.recycled_told
    state = "kept" if entry.is_kept else "going" if entry.status == VolumeStatus.DELETING else "stuck"
    names = ("id", "kind", "name", "description", "project_id", "user_id", "volume_id", "size", "metadata")
    return shapes.Recycled(
        **{name: getattr(entry, name) for name in names},
        state=state,
        counts_for_quota=entry.recycled_counts,
        recycled_at=entry.recycled_at,
        kept_until=_moment(until),
        told_at=None if told is None else _moment(told - seconds),
    ).model_dump(mode="json")


def _moment(from_now: float) -> datetime:
    """The time of day so many seconds from now; the bin's clock and ours differ by less than one."""
    return datetime.fromtimestamp(round(clock.time() + from_now), UTC).replace(tzinfo=None)


def _viewer(tx: Transaction, call: Call, found: Sequence[Entry]) -> View[Entry]:
    return partial(view, rows.seconds(tx))


async def show(call: Call) -> Reply:
    """Show something that is in the recycle bin."""
    return Reply({"recycled": await call.ctx.db.read(_one, call)})


def _one(tx: Transaction, call: Call) -> dict[str, Any]:
    return view(rows.seconds(tx), rows.get(tx, call.who, call.args["id"]))


async def put_back(call: Call) -> Reply:
    """Have it back as it was, a volume with the snapshots that went with it: 204."""
    await call.ctx.db.write(restore.accept, call.who, call.args["id"], call.ctx.tunables)
    return Reply(status=204)


async def remove(call: Call) -> Reply:
    """Delete it for good now: 202, and the operation that does it."""
    operation_id = await call.ctx.db.write(_remove, call.who, call.args["id"])
    return Reply(shapes.Purged(operation_id=operation_id).model_dump(), 202)


def _remove(tx: Transaction, who: Scope, entry_id: str) -> str | None:
    try:
        return purge.accept(tx, who, entry_id)
    except InvalidState as error:
        raise Conflict(str(error)) from None


_ONE = "/recycle-bin/{id}"
_RULE = "pumice:recycle_bin:"
ROUTES = (
    Route("GET", "/recycle-bin", LIST.answers_with("recycle_bin", _viewer), Rule(f"{_RULE}list", READER)),
    Route("GET", _ONE, show, Rule(f"{_RULE}show", READER)),
    Route(
        "POST",
        f"{_ONE}/actions/restore",
        put_back,
        Rule(f"{_RULE}restore", MEMBER),
    ),
    Route("DELETE", _ONE, remove, Rule(f"{_RULE}purge", MEMBER)),
)

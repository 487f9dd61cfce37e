"""The log as a queue: which operations are taken up next, and what there is to do.

A row is *runnable* when it is running or undoing, its time has come and nobody holds a living lease on it.
Claiming raises ``attempt``, and every later write names the attempt it belongs to, so that a worker that was
stopped and woken again cannot write over its successor.

However much waits, a look reads little. What waits at a place stands in *lanes*, one for each project and kind:
an index has them side by side, each in the order in which its operations come. A look steps from lane to lane,
sees the head of each, and claims from the heads of those lanes whose turn it is.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import inf
from typing import Any

import sqlalchemy as sa

from pumice.store import json_columns
from pumice.store.any_of import any_of, none_of
from pumice.store.beginning import begins_with
from pumice.store.changes import changed
from pumice.store.database import Transaction
from pumice.store.serialize import row_by_row
from pumice.store.tables import LANE, MOVING, hanging_calls, operation_holds, operations

Row = sa.RowMapping
QUEUE = "queue"
"""The topic that is notified when there may be something to claim, wherever it belongs."""
MOST_LANES = 64
"""How many lanes of a place a look sees; where there are more, it begins at a random one."""
SLACK = 4
"""How many times as many rows as are wanted are looked at: others may be claiming the first just now."""

_o = operations.c
_moving = sa.text(MOVING)
_lane: sa.ColumnElement[str] = sa.literal_column(f"({LANE})", sa.Text)
_now: sa.BindParameter[float] = sa.bindparam("now")
_AT_ONCE = 0.0
"""The ``run_at`` of what waits for no time."""

_free = (
    sa.or_(_o.lease_until.is_(None), _o.lease_until < _now),
    none_of(_o.id, "in_hand"),
)
# The same of a row as it is once it is locked, for its head was seen before. In words that no index has: the
# planner shall find it by its id alone.
_still_free = (
    sa.func.coalesce(_o.lease_until, -1.0) < _now,
    any_of(_o.state + "", ("running", "undoing")),
    _o.run_at + 0.0 <= _now,
)
# nothing is done about what a call still hangs on, by whoever has to do with it; the scheduler's steps only
# change rows
_unfenced = sa.or_(
    _o.place == "scheduler",
    ~sa.exists().where(
        sa.or_(
            hanging_calls.c.subject == _o.subject,
            sa.exists().where(
                operation_holds.c.operation_id == _o.id, operation_holds.c.thing == hanging_calls.c.subject
            ),
        ),
        hanging_calls.c.place == _o.place,
        sa.func.coalesce(json_columns.value(_o.notes, "pool").as_string(), hanging_calls.c.pool, "")
        == sa.func.coalesce(hanging_calls.c.pool, json_columns.value(_o.notes, "pool").as_string(), ""),
    ),
)
_when = sa.case((_o.lease_until > _o.run_at, _o.lease_until), else_=_o.run_at)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for an operation: by whom, and for what."""

    places: Collection[str]
    owner: str
    kinds: Collection[str] = ()
    """Kinds of which it wants no more."""
    projects: Collection[str] = ()
    """Projects of which it wants no more."""
    busy: Collection[str] = ()
    """Projects that come after the others."""
    busy_kinds: Collection[str] = ()
    """Kinds that come after the others of a project."""
    in_hand: Collection[str] = ()
    """Operations it has at this moment, even if their leases are over: it must not have one twice at once."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The work that there is at some places."""

    soonest: float
    """When the next operation becomes runnable if nothing else happens; infinity when there is none."""
    holders: list[str]
    """The other workers that hold operations there."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The operations of one project and kind that wait at a place."""

    place: str
    name: str
    """The project, which may be empty, a space, and the kind."""
    fresh: datetime | None
    """When the oldest was accepted of those that are runnable and wait for no time."""
    due: datetime | None
    """When that was accepted whose time has come first."""
    later: float | None
    """When the next one's time comes."""

    @property
    def project(self) -> str:
        """The project's id."""
        return self.name.rpartition(" ")[0]

    @property
    def kind(self) -> str:
        """The kind of the operations."""
        return self.name.rpartition(" ")[2]

    @property
    def is_runnable(self) -> bool:
        """Whether there is something to claim."""
        return self.fresh is not None or self.due is not None


@dataclass(frozen=True, slots=True)
class Seen:
    """The lanes and holders that a look saw."""

    lanes: Sequence[Lane]
    holders: Mapping[str, float]
    """Who holds operations, and when the first of them may be taken over."""
    is_all: bool
    """Whether there are no more lanes than were seen."""

    def has(self, shares: Iterable[tuple[Asked, int]]) -> bool:
        """Whether there is something to claim of these shares."""
        return any(_turns(self.lanes, asked, most) for asked, most in shares)

    @property
    def is_runnable(self) -> bool:
        """Whether there is something to claim, whoever's and of whatever kind."""
        return any(lane.is_runnable for lane in self.lanes)

    def outlook(self, owner: str, left: bool) -> Outlook:
        """``left``: whether something runnable is left."""
        times = [it.later for it in self.lanes if it.later is not None] + list(self.holders.values())
        soonest = _AT_ONCE if left or not self.is_all else min(times, default=inf)
        return Outlook(soonest, [it for it in self.holders if it != owner])


def queue_topic(place: str) -> str:
    """The topic that is notified when there is something to claim at this place: nobody else needs to look."""
    return f"{QUEUE} {place}"


def claim(tx: Transaction, asked: Asked, at: float, lease: float, most: int) -> tuple[Sequence[Row], Outlook]:
    """Take up to ``most`` runnable operations for ``lease`` seconds. Also tells what is left."""
    return claim_shares(tx, [(asked, most)], look(tx, asked, at), asked.owner, at, lease)


@row_by_row
def claim_shares(
    tx: Transaction, shares: Collection[tuple[Asked, int]], seen: Seen, owner: str, at: float, lease: float
) -> tuple[Sequence[Row], Outlook]:
    """Take of each share of what was seen up to so many for ``lease`` seconds. Also tells what is left of that.

    Whatever happened since: a row is free where it is locked, or it is not taken.
    """
    rows = list[Row]()
    left = {lane for lane in seen.lanes if lane.is_runnable}
    for asked, most in shares:
        turns = _turns(seen.lanes, asked, most)
        got = _claim(tx, turns, asked, at, lease, most) if turns else ()
        if 0 < len(got) < most:  # that was all
            left -= {turn.lane for turn in turns}
        rows += got
    return rows, seen.outlook(owner, bool(left))


_FREED: Mapping[str, Any] = {"owner": None, "lease_until": None, "attempt": _o.attempt + 1}
"""What frees an operation. Whoever held it may have begun its step: it is none that nobody has touched."""


@row_by_row
def release(tx: Transaction, operation_id: str, attempt: int, run_at: float, topic: str = QUEUE) -> None:
    """Put an operation down where it is, to be taken up again at ``run_at``."""
    tx.execute(
        sa.update(operations)
        .where(_o.id == operation_id, _o.attempt == attempt)
        .values(**_FREED, run_at=run_at)
    )
    tx.notify(topic)


def release_earlier(tx: Transaction, host: str, owner: str) -> int:
    """Free what earlier processes of this host held: only one may live, and it is ``owner``.

    What hung in them has ended with them.
    """
    earlier = begins_with(hanging_calls.c.owner, f"{host}:"), hanging_calls.c.owner != owner
    tx.execute(sa.delete(hanging_calls).where(*earlier))
    result = tx.execute(
        sa.update(operations).where(begins_with(_o.owner, f"{host}:"), _o.owner != owner).values(_FREED)
    )
    return int(result.rowcount)


def release_from(tx: Transaction, owner: str) -> int:
    """Free what a worker held that is provably gone. How many."""
    free = sa.update(operations).where(_o.owner == owner).values(_FREED)
    tx.execute(sa.delete(hanging_calls).where(hanging_calls.c.owner == owner))
    tx.notify(QUEUE)
    return int(tx.execute(free).rowcount)


def renew(
    tx: Transaction, owner: str, until: float, carried: Mapping[str, Mapping[str, Any]]
) -> dict[str, bool]:
    """Prolong the leases of what ``owner`` carries, and write what is new of each.

    What is still its own, and whether its cancelling was asked for.
    """
    mine = _o.owner == owner
    prolong = sa.update(operations).where(mine, _o.id.in_(list(carried))).values(lease_until=until)
    rows = tx.execute(prolong.returning(_o.id, _o.cancelled))
    ours = {row.id: row.cancelled for row in rows}
    for operation_id, news in carried.items():
        if news:
            tx.execute(sa.update(operations).where(mine, _o.id == operation_id).values(**news))
            tx.notify(changed(operation_id))
    return ours


def wake_waiting(tx: Transaction, operation_id: str) -> None:
    """An operation has ended: let all that wait for it look. They have its id in their notes.

    Those that wait are few, and only the end of what has a parent asks.
    """
    named = sa.cast(_o.notes, sa.Text).contains(operation_id, autoescape=True)
    woken = sa.update(operations).where(_o.state == "waiting", named).values(state="running", run_at=_AT_ONCE)
    for waiting_id in tx.execute(woken.returning(_o.id)).scalars().all():
        tx.notify(QUEUE)
        tx.notify(changed(waiting_id))


def wake(tx: Transaction, operation_id: str) -> None:
    """Let an operation that waits look again at what it waits for."""
    tx.execute(
        sa.update(operations)
        .where(_o.id == operation_id, _o.state == "waiting")
        .values(state="running", run_at=_AT_ONCE)
    )
    tx.notify(QUEUE)
    tx.notify(changed(operation_id))


# --- whose turn it is ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Turn:
    """One end of a lane from which is claimed."""

    lane: Lane
    rank: int
    """Who has little in hand comes first: of the projects, then of a project's kinds."""
    since: datetime
    """The oldest comes first among equals, also of what is tried again: none waits for ever."""
    times: tuple[float, float]
    """The first and the last ``run_at``."""


def _turns(lanes: Collection[Lane], asked: Asked, most: int) -> Sequence[_Turn]:
    """Where up to ``most`` operations are claimed that come first: each has at least one."""
    found = []
    for lane in lanes:
        if lane.place in asked.places and lane.kind not in asked.kinds and lane.project not in asked.projects:
            rank = 2 * (lane.project in asked.busy) + (lane.kind in asked.busy_kinds)
            if lane.fresh is not None:
                found.append(_Turn(lane, rank, lane.fresh, (_AT_ONCE, _AT_ONCE)))
            if lane.due is not None:
                found.append(_Turn(lane, rank, lane.due, (_LATER, inf)))
    return sorted(found, key=lambda turn: (turn.rank, turn.since))[:most]


_LATER = 1e-9
"""The first ``run_at`` that is a time."""


def _claim(
    tx: Transaction, turns: Sequence[_Turn], asked: Asked, at: float, lease: float, most: int
) -> Sequence[Row]:
    values: dict[str, Any] = {"now": at, "in_hand": list(asked.in_hand), "most": most, "slack": most * SLACK}
    values |= {"b_owner": asked.owner, "b_until": at + lease}
    for number, turn in enumerate(turns):
        first, last = turn.times
        values |= {f"at_{number}": turn.lane.place, f"name_{number}": turn.lane.name}
        values |= {f"rank_{number}": turn.rank, f"first_{number}": first, f"last_{number}": min(last, at)}
    return tx.execute(_claim_of(len(turns)), values).mappings().all()


@cache
def _claim_of(number: int) -> sa.UpdateBase:
    """The statement that claims from so many turns."""
    heads = sa.union_all(*(_heads(turn) for turn in range(number))).subquery("heads")
    candidates = (
        sa.select(_o.id)
        .join(heads, heads.c.id == _o.id)
        .where(*_still_free)
        .order_by(heads.c.rank, _o.created_at)
        .limit(sa.bindparam("most"))
        .with_for_update(of=operations, skip_locked=True)
        .cte("candidates")  # chosen once: PostgreSQL may run a plain subquery again for each row
    )
    return (
        sa.update(operations)
        .where(_o.id.in_(sa.select(candidates.c.id)))
        .values(owner=sa.bindparam("b_owner"), lease_until=sa.bindparam("b_until"), attempt=_o.attempt + 1)
        .returning(operations)
    )


def _heads(turn: int) -> sa.Select[Any]:
    first: sa.BindParameter[float] = sa.bindparam(f"first_{turn}")
    last: sa.BindParameter[float] = sa.bindparam(f"last_{turn}")
    there = _o.place == sa.bindparam(f"at_{turn}"), _lane == sa.bindparam(f"name_{turn}", type_=sa.Text)
    head = (
        sa.select(_o.id)
        .where(_moving, *there, _o.run_at >= first, _o.run_at <= last, *_free, _unfenced)
        .order_by(_o.run_at, _o.created_at)
        .limit(sa.bindparam("slack"))
        .subquery(f"head_{turn}")
    )
    return sa.select(head.c.id, sa.bindparam(f"rank_{turn}", type_=sa.Integer).label("rank"))


# --- what there is ------------------------------------------------------------------------------


def look(tx: Transaction, asked: Asked, at: float) -> Seen:
    """See the lanes of these places, and who holds operations there."""
    if not asked.places:
        return Seen((), {}, is_all=True)
    lanes, holders = _walk(tx, asked, at, dict.fromkeys(asked.places, ""))
    crowded = {place for place in asked.places if sum(it.place == place for it in lanes) == MOST_LANES}
    if crowded:
        others, _ = _walk(tx, asked, at, {place: secrets.token_hex(4) for place in crowded})
        lanes = [*others, *(it for it in lanes if it not in others)]
    return Seen(lanes, holders, is_all=not crowded)


def _walk(
    tx: Transaction, asked: Asked, at: float, starts: Mapping[str, str]
) -> tuple[list[Lane], dict[str, float]]:
    """The lanes of each place after the one where it starts, and when who holds operations has to end."""
    values: dict[str, Any] = {"now": at, "in_hand": list(asked.in_hand), "places": list(starts)}
    for number, (place, start) in enumerate(starts.items()):
        values |= {f"at_{number}": place, f"from_{number}": start}
    lanes, holders = list[Lane](), dict[str, float]()
    for row in tx.execute(_walk_of(len(starts)), values):
        if row.place is None:
            holders[row.name] = row.later
        else:
            lanes.append(Lane(row.place, row.name, row.fresh, row.due, row.later))
    return lanes, holders


@cache
def _walk_of(number: int) -> sa.CompoundSelect[Any]:
    """The statement that looks at so many places."""
    start, *starts = (_start(place) for place in range(number))
    lanes = start.cte("lanes", recursive=True)
    following = (
        sa.select(_lane)
        .where(_moving, _o.place == lanes.c.place, _lane > lanes.c.name)
        .order_by(_lane)
        .limit(1)
        .scalar_subquery()
        .correlate(lanes)
    )
    lanes = lanes.union_all(
        *starts,
        sa.select(lanes.c.place, following, lanes.c.number + 1).where(
            lanes.c.name.is_not(None), lanes.c.number < MOST_LANES
        ),
    )
    there = _moving, _o.place == lanes.c.place, _lane == lanes.c.name, _unfenced

    def first(column: sa.Column[Any], by: sa.Column[Any], *where: sa.ColumnElement[bool]) -> Any:
        return sa.select(column).where(*there, *where).order_by(by).limit(1).scalar_subquery().correlate(lanes)

    waiting = sa.select(
        lanes.c.place,
        lanes.c.name,
        first(_o.created_at, _o.created_at, _o.run_at == _AT_ONCE, *_free).label("fresh"),
        first(_o.created_at, _o.run_at, _o.run_at > _AT_ONCE, _o.run_at <= _now, *_free).label("due"),
        first(_o.run_at, _o.run_at, _o.run_at > _now, none_of(_o.id, "in_hand")).label("later"),
    ).where(lanes.c.name.is_not(None), lanes.c.number > 0)
    held = (
        sa.select(sa.null(), _o.owner, sa.null(), sa.null(), sa.func.min(_when))
        .where(
            _o.owner.is_not(None),
            _o.lease_until >= _now,
            any_of(_o.place, "places"),
            _moving,
            none_of(_o.id, "in_hand"),
            _unfenced,
        )
        .group_by(_o.owner)
    )
    return sa.union_all(waiting, held)


def _start(place: int) -> sa.Select[str, str, int]:
    return sa.select(
        sa.cast(sa.bindparam(f"at_{place}"), sa.String).label("place"),
        sa.cast(sa.bindparam(f"from_{place}"), sa.Text).label("name"),
        sa.cast(0, sa.Integer).label("number"),
    )

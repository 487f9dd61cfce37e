"""Schedules of snapshots and backups, and their runs: every read and write of their rows.

What a schedule has made is known by its items (``schedule_items``), which no tenant can write: a thing that no
item of it names is not its to prune.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import Conflict, OverQuota
from pumice.model.ids import new_id
from pumice.model.schedule import Item, ItemState, Made, Makes, Run, RunState, Schedule
from pumice.model.scope import Scope
from pumice.store.changes import changed
from pumice.store.database import Transaction
from pumice.store.rows import Rows
from pumice.store.tables import (
    backups,
    group_snapshots,
    schedule_items,
    schedule_runs,
    schedules,
    snapshots,
    volumes,
)
from pumice.store.tenant_rows import TenantRows

MOST = 1000
"""Schedules that a project may have."""
ASTRAY = timedelta(seconds=120)
"""What is to be looked at later than this was put there before the clock was put back: it is due now."""

_s, _r, _i, _v = schedules.c, schedule_runs.c, schedule_items.c, volumes.c
_rows = TenantRows(schedules, Schedule, "Schedule")
_runs = TenantRows(schedule_runs, Run, "Run")
_items = Rows(schedule_items, Item)

get = _rows.visible
page = _rows.page
get_run = _runs.visible

COLUMNS = frozenset(
    {"id", "name", "enabled", "created_at", "updated_at", "next_run_at", "volume_id", "group_id"}
)
"""What lists may be sorted and filtered by."""
RUN_COLUMNS = frozenset({"id", "due_at", "state", "started_at", "finished_at"})
"""What lists of runs may be sorted and filtered by."""

_by_id = sa.update(schedules).where(_s.id == sa.bindparam("b_id"))
_claim = _by_id.where(_s.next_run_at == sa.bindparam("b_due"))
_claim_clearing = _by_id.where(_s.clear_at == sa.bindparam("b_seen"))
_run_by_id = sa.update(schedule_runs).where(_r.id == sa.bindparam("b_id"))
_claim_run = _run_by_id.where(_r.look_at == sa.bindparam("b_seen"))
_item_by_id = sa.update(schedule_items).where(_i.id == sa.bindparam("b_id"))


def insert(tx: Transaction, schedule: Schedule) -> None:
    """Add a schedule. Raises ``OverQuota`` where the project has too many."""
    count = sa.select(sa.func.count()).where(_s.project_id == schedule.project_id)
    if tx.execute(count.select_from(schedules)).scalar_one() >= MOST:
        raise OverQuota(f"ScheduleLimitExceeded: Maximum number of schedules allowed ({MOST}) exceeded.")
    tx.execute(sa.insert(schedules), _rows.row(schedule))


def find(tx: Transaction, schedule_id: str) -> Schedule | None:
    """A schedule for Pumice's own work, if it still exists."""
    return _rows.get(tx, schedule_id)


def change(tx: Transaction, schedule_id: str, **changes: Any) -> None:
    """Write columns of a schedule."""
    tx.execute(_by_id, {"b_id": schedule_id} | changes)


def delete(tx: Transaction, schedule_id: str) -> None:
    """Forget a schedule and its runs. What it has made stays, and is nobody's to prune."""
    tx.execute(sa.delete(schedules).where(_s.id == schedule_id))


def delete_of_project(tx: Transaction, project_id: str) -> None:
    """Forget the schedules of a project that is no more."""
    tx.execute(sa.delete(schedules).where(_s.project_id == project_id))


def is_(name: str, value: Any) -> sa.ColumnElement[bool]:
    """The condition that a column of schedules has this value."""
    condition: sa.ColumnElement[bool] = _s[name] == value
    return condition


def runs_page(tx: Transaction, who: Scope, *, schedule_id: str, **asked: Any) -> Sequence[Run]:
    """A page of a schedule's runs. Raises ``NotFound`` for another project's schedule, or an unknown marker."""
    asked["filters"] = [_r.schedule_id == get(tx, who, schedule_id).id]
    return _runs.page(tx, who, all_projects=who.is_admin, **asked)


# --- what there is to do -------------------------------------------------------------------------


class What(IntEnum):
    """What there is to do."""

    SCHEDULE = 0
    """A schedule that is due, or is to be planned anew."""
    RUN = 1
    """A run that is to be gone on with."""
    CLEARING = 2
    """A schedule that is being deleted with what it made."""


@dataclass(frozen=True, slots=True)
class Due:
    """What there is to do."""

    id: str
    project_id: str
    what: What


def _some(query: sa.Select[Any], order: sa.ColumnElement[Any]) -> sa.Select[Any]:
    found = query.order_by(order).limit(sa.bindparam("most")).subquery()
    return sa.select(found)


_last = schedule_runs.alias("last")
_what = _s.id, _s.project_id, sa.literal(What.SCHEDULE.value).label("what")
_which = _r.id, _r.project_id, sa.literal(What.RUN.value).label("what")
_gone = _s.id, _s.project_id, sa.literal(What.CLEARING.value).label("what")
_due = sa.union_all(
    _some(
        sa.select(*_what)
        .join_from(schedules, _last, _last.c.id == _s.last_run_id, isouter=True)
        .where(
            _s.next_run_at <= sa.bindparam("at"),
            sa.or_(_last.c.id.is_(None), _last.c.state != RunState.RUNNING.value),
        ),
        _s.next_run_at,
    ),
    _some(sa.select(*_what).where(_s.planned_at > sa.bindparam("astray")), _s.planned_at),
    _some(sa.select(*_which).where(_r.look_at <= sa.bindparam("at")), _r.look_at),
    _some(sa.select(*_which).where(_r.look_at > sa.bindparam("astray")), _r.look_at),
    _some(sa.select(*_gone).where(_s.clear_at <= sa.bindparam("at")), _s.clear_at),
    _some(sa.select(*_gone).where(_s.clear_at > sa.bindparam("astray")), _s.clear_at),
)


def due(tx: Transaction, at: datetime, most: int) -> Sequence[Due]:
    """What is to be done at this time: of each kind at most so many, the longest due first.

    A schedule that is due while its last run is under way waits for that.
    """
    rows = tx.execute(_due, {"at": at, "astray": at + ASTRAY, "most": most})
    return [Due(row.id, row.project_id, What(row.what)) for row in rows]


def is_astray(planned: datetime | None, at: datetime) -> bool:
    """Whether this was reckoned before the clock was put back."""
    return planned is not None and planned > at + ASTRAY


# --- runs ----------------------------------------------------------------------------------------


def take_due(tx: Transaction, schedule: Schedule, following: datetime | None, at: datetime) -> bool:
    """Take the time at which a schedule is due, and write when it is due next. False: somebody else has."""
    values = {"b_id": schedule.id, "b_due": schedule.next_run_at, "next_run_at": following}
    planned = at if following else None
    return tx.execute(_claim, values | {"planned_at": planned}).rowcount == 1


def was_run(tx: Transaction, schedule_id: str, due_at: datetime) -> bool:
    """Whether this time was taken already, before the clock was put back."""
    query = sa.select(_r.id).where(_r.schedule_id == schedule_id, _r.due_at == due_at)
    return tx.execute(query).first() is not None


def begin_run(tx: Transaction, run: Run) -> None:
    """Add a run, its schedule's newest. Raises ``Conflict`` for another at the same time."""
    if was_run(tx, run.schedule_id, run.due_at):
        raise Conflict("The schedule was run at this very moment already.")
    tx.execute(sa.insert(schedule_runs), _runs.row(run))
    change(tx, run.schedule_id, last_run_id=run.id)


def find_run(tx: Transaction, run_id: str | None) -> Run | None:
    """A run for Pumice's own work, if it still exists."""
    return _runs.get(tx, run_id) if run_id else None


def runs_named(tx: Transaction, ids: Collection[str]) -> Mapping[str, Run]:
    """Runs by their ids."""
    found = _runs.all(tx.execute(_runs.select.where(_r.id.in_(list(ids))))) if ids else ()
    return {run.id: run for run in found}


def take_run(tx: Transaction, run: Run, look_at: datetime) -> bool:
    """Take a run to go on with it; another look is due at ``look_at``. False: somebody else has it."""
    return tx.execute(_claim_run, {"b_id": run.id, "b_seen": run.look_at, "look_at": look_at}).rowcount == 1


def end_runs(tx: Transaction, schedule: Schedule, at: datetime, error: str) -> None:
    """End the runs of a schedule that are under way, and what they were still to prune."""
    running = sa.update(schedule_runs).where(_r.schedule_id == schedule.id, _r.look_at.is_not(None))
    ended = {"state": RunState.FAILED.value, "finished_at": at, "error": error}
    tx.execute(running.where(_r.state == RunState.RUNNING.value).values(**ended))
    tx.execute(running.values(look_at=None))


def take_clearing(tx: Transaction, schedule: Schedule, look_at: datetime) -> bool:
    """Take a schedule that is being deleted with what it made; False: somebody else has it."""
    values = {"b_id": schedule.id, "b_seen": schedule.clear_at, "clear_at": look_at}
    return tx.execute(_claim_clearing, values).rowcount == 1


def change_run(tx: Transaction, run: Run, **changes: Any) -> None:
    """Write columns of a run, and tell who looks at its schedule."""
    tx.execute(_run_by_id, {"b_id": run.id} | changes)
    tx.notify(changed(run.schedule_id))


def expire_runs(tx: Transaction, before: datetime, most: int) -> int:
    """Forget runs that ended before a time, but for the last of each schedule; how many.

    What they made stays known.
    """
    is_last = sa.exists().where(_s.last_run_id == _r.id, _s.id == _r.schedule_id)
    old = sa.select(_r.id).where(_r.finished_at < before, _r.look_at.is_(None), ~is_last).limit(most)
    ids = list(tx.execute(old).scalars())
    if ids:
        tx.execute(sa.delete(schedule_items).where(_i.run_id.in_(ids), _i.made_id.is_(None)))
        tx.execute(sa.delete(schedule_runs).where(_r.id.in_(ids)))
    return len(ids)


# --- items ---------------------------------------------------------------------------------------


def add_items(tx: Transaction, run: Run, targets: Sequence[str]) -> None:
    """Have a run make something of each of these volumes or groups."""
    if targets:
        blank = {
            "tries": 0,
            "operation_id": None,
            "made_id": None,
            "made_at": None,
            "name": None,
            "error": None,
        }
        same = {"run_id": run.id, "schedule_id": run.schedule_id, "state": ItemState.WAITING} | blank
        tx.execute(sa.insert(schedule_items), [{"id": new_id(), "target_id": it} | same for it in targets])


def change_item(tx: Transaction, item: Item, **changes: Any) -> None:
    """Write columns of an item."""
    tx.execute(_item_by_id, {"b_id": item.id} | changes)


_in_state = _items.select.where(_i.run_id == sa.bindparam("run"), _i.state == sa.bindparam("state")).order_by(
    _i.tries, _i.id
)


def items_in(tx: Transaction, run: Run, state: ItemState, most: int) -> Sequence[Item]:
    """Items of a run in this state, those that were tried least first."""
    return _items.all(tx.execute(_in_state.limit(most), {"run": run.id, "state": state}))


def count_items(tx: Transaction, run: Run) -> dict[str, int]:
    """How many items a run has in each state."""
    query = sa.select(_i.state, sa.func.count().label("number")).where(_i.run_id == run.id).group_by(_i.state)
    return {row.state: row.number for row in tx.execute(query)}


def items_page(tx: Transaction, run_id: str, most: int) -> Sequence[Item]:
    """The items of a run: what failed before the rest."""
    rank = sa.case((_i.state == ItemState.FAILED.value, 0), else_=1)
    query = _items.select.where(_i.run_id == run_id).order_by(rank, _i.target_id, _i.id)
    return _items.all(tx.execute(query.limit(most)))


_in_project = (
    sa.select(_v.id, _v.created_at, _v.metadata).where(_v.recycled_at.is_(None)).order_by(_v.created_at, _v.id)
)


def tagged(
    tx: Transaction, run: Run, tags: Mapping[str, str], most: int
) -> tuple[list[str], tuple[datetime, str] | None]:
    """Among the next ``most`` of the project's volumes, those with these metadata; and how far that is.

    None when there are no others.
    """
    query = _in_project.where(_v.project_id == run.project_id).limit(most)
    if run.listed_at is not None:
        later = sa.or_(_v.created_at > run.listed_at, _v.id > run.listed_id)
        query = query.where(_v.created_at >= run.listed_at, later)
    rows = tx.execute(query).all()
    found = [row.id for row in rows if all(row.metadata.get(key) == value for key, value in tags.items())]
    return found, (rows[-1].created_at, rows[-1].id) if len(rows) == most else None


# --- what was made -------------------------------------------------------------------------------


def _table(schedule: Schedule) -> sa.Table:
    if schedule.makes == Makes.BACKUP:
        return backups
    return group_snapshots if schedule.group_id else snapshots


def statuses(tx: Transaction, schedule: Schedule, items: Sequence[Item]) -> dict[str, str]:
    """The status of what each of these items made; what is gone is missing."""
    table = _table(schedule)
    ids = [item.made_id for item in items if item.made_id]
    query = sa.select(table.c.id, table.c.status).where(table.c.id.in_(ids))
    return {row.id: row.status for row in tx.execute(query)} if ids else {}


def made_of(tx: Transaction, schedule: Schedule, target_id: str, description: str) -> list[Made]:
    """All that a schedule has made of a volume or group, whether it is still there or not."""
    return _made(tx, schedule, description, lambda query: query.where(_i.target_id == target_id))


def made_by(tx: Transaction, schedule: Schedule, description: str, most: int) -> list[Made]:
    """At most ``most`` things that a schedule has made: what was tried least first, and then the newest."""
    order = _i.tries, _i.made_at.desc(), _i.id
    return _made(tx, schedule, description, lambda query: query.order_by(*order).limit(most))


def _made(
    tx: Transaction,
    schedule: Schedule,
    description: str,
    narrowed: Callable[[sa.Select[Any]], sa.Select[Any]],
) -> list[Made]:
    table = _table(schedule)
    shown = [table.c.status, table.c.name, table.c.description, table.c.project_id]
    if "metadata" in table.c:
        shown.append(table.c.metadata)
    query = (
        sa.select(*_items.columns, *(column.label(f"its_{column.name}") for column in shown))
        .join_from(schedule_items, table, table.c.id == _i.made_id, isouter=True)
        .where(_i.schedule_id == schedule.id, _i.made_id.is_not(None))
    )
    found = []
    for row in tx.execute(narrowed(query)):
        item = Item(*row[: len(_items.columns)])
        is_as_made = (row.its_name, row.its_description, row.its_project_id) == (
            item.name,
            description,
            schedule.project_id,
        ) and not getattr(row, "its_metadata", None)
        found.append(Made(item, row.its_status, is_as_made))
    return found


def forget_made(tx: Transaction, item: Item) -> None:
    """Note that what an item made is gone; the item too, if its run is."""
    if item.run_id is None:
        tx.execute(sa.delete(schedule_items).where(_i.id == item.id))
    else:
        change_item(tx, item, made_id=None)

"""What is asked of a schedule: to make one, change it, run it now, delete it. Each is one transaction.

A schedule that goes together with what it made is switched off by that, and goes on in turns (``clear.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pumice.model.errors import Conflict, Invalid
from pumice.model.ids import new_id
from pumice.model.recurrence import next_after, normalized, zone
from pumice.model.schedule import Makes, Run, RunState, Schedule
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.store import groups, quotas, schedules, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.serialize import serialized
from pumice.volumes.schedules import clear
from pumice.volumes.schedules.turn import turn


@dataclass(frozen=True, slots=True)
class Wanted:
    """The schedule that the tenant asks for; of volume, group and tags one is there."""

    name: str
    makes: Makes
    cron: str
    timezone: str = "UTC"
    keep: Mapping[str, int] | None = None
    volume_id: str | None = None
    group_id: str | None = None
    tags: Mapping[str, str] | None = None
    full_every: int | None = None
    container: str | None = None
    enabled: bool = True


def create(tx: Transaction, who: Scope, wanted: Wanted) -> Schedule:
    """Make a schedule. Raises ``Invalid``, ``NotFound`` for its volume or group, or ``OverQuota``."""
    if wanted.makes == Makes.SNAPSHOT and (wanted.full_every or wanted.container):
        raise Invalid(
            "Only backups are incremental or have a container: 'full_every' and 'container' are theirs."
        )
    at = now()
    schedule = Schedule(
        id=new_id(),
        project_id=who.project,
        user_id=who.user_id,
        name=wanted.name,
        makes=wanted.makes,
        volume_id=wanted.volume_id,
        group_id=wanted.group_id,
        tags=dict(wanted.tags) if wanted.tags else None,
        cron=normalized(wanted.cron),
        timezone=zone(wanted.timezone).key,
        keep=dict(wanted.keep or {}),
        full_every=wanted.full_every,
        container=wanted.container,
        enabled=wanted.enabled,
        next_run_at=None,
        planned_at=None,
        last_run_id=None,
        clear_at=None,
        cleared_at=None,
        created_at=at,
        updated_at=None,
    )
    if schedule.volume_id:
        volumes.get(tx, schedule.owner, schedule.volume_id)
    if schedule.group_id:
        groups.get(tx, schedule.owner, schedule.group_id)
    schedule = replace(schedule, **_plan(schedule, at))
    schedules.insert(tx, schedule)
    return schedule


def update(tx: Transaction, who: Scope, schedule_id: str, changes: Mapping[str, Any]) -> Schedule:
    """Change a schedule: what is not named stays. Raises ``Invalid`` or ``NotFound``.

    What a run that is under way has still to do is not changed by that.
    """
    found = _staying(tx, who, schedule_id)
    at = now()
    values = dict(changes)
    if "cron" in values:
        values["cron"] = normalized(values["cron"])
    if "timezone" in values:
        values["timezone"] = zone(values["timezone"]).key
    if found.makes == Makes.SNAPSHOT and values.get("full_every"):
        raise Invalid("Only backups are incremental: 'full_every' is theirs.")
    schedule = replace(found, **values, updated_at=at)
    if values.keys() & {"cron", "timezone", "enabled"}:
        values |= _plan(schedule, at)
    schedules.change(tx, schedule.id, **values, updated_at=at)
    return replace(schedule, **{name: values[name] for name in ("next_run_at", "planned_at") if name in values})


def _plan(schedule: Schedule, at: datetime) -> dict[str, Any]:
    """When a schedule is due next, and that this was reckoned now."""
    following = next_after(schedule.cron, schedule.timezone, at) if schedule.enabled else None
    return {"next_run_at": following, "planned_at": at if following else None}


@serialized(quotas.turn)
def run_now(tx: Transaction, who: Scope, schedule_id: str, tunables: Tunables) -> Run:
    """Run a schedule now, whether it is enabled or not; the run, of which a first part is begun.

    Raises ``NotFound``, or ``Conflict`` while its last run is under way.
    """
    schedule = _staying(tx, who, schedule_id)
    last = schedules.find_run(tx, schedule.last_run_id)
    if last is not None and last.state == RunState.RUNNING:
        raise Conflict(f"Run {last.id} of schedule {schedule.id} is under way: ask again when it has ended.")
    run = new_run(schedule, now(), manual=True)
    schedules.begin_run(tx, run)
    turn(tx, run.id, tunables)
    return schedules.get_run(tx, who, run.id)


@serialized(lambda _, project_id: f"quota of {project_id}")
def begin_due(tx: Transaction, schedule_id: str, project_id: str) -> str | None:
    """Begin the run for which a schedule is due, and reckon when it is due next; the run's id.

    However many times were missed, one run makes up for them. None where there is nothing to do: it is gone,
    not due, or that very time was run before the clock was put back.
    """
    schedule, at = schedules.find(tx, schedule_id), now()
    if schedule is None or schedule.next_run_at is None or schedule.clear_at is not None:
        return None
    astray = schedules.is_astray(schedule.planned_at, at)
    if not astray and schedule.next_run_at > at:
        return None
    following = next_after(schedule.cron, schedule.timezone, at)
    if not schedules.take_due(tx, schedule, following, at) or astray:
        return None
    if schedules.was_run(tx, schedule.id, schedule.next_run_at):
        return None
    run = new_run(schedule, schedule.next_run_at, manual=False)
    schedules.begin_run(tx, run)
    return run.id


def new_run(schedule: Schedule, due_at: datetime, *, manual: bool) -> Run:
    """A run that is to be looked at now."""
    at = now()
    return Run(
        id=new_id(),
        schedule_id=schedule.id,
        project_id=schedule.project_id,
        due_at=due_at,
        manual=manual,
        state=RunState.RUNNING,
        started_at=at,
        finished_at=None,
        volumes=0,
        made=0,
        failed=0,
        error=None,
        listed=False,
        listed_at=None,
        listed_id=None,
        look_at=at,
    )


def _staying(tx: Transaction, who: Scope, schedule_id: str) -> Schedule:
    """The schedule. Raises ``NotFound``, or ``Conflict`` if it is being deleted with what it made."""
    schedule = schedules.get(tx, who, schedule_id)
    if schedule.clear_at is not None:
        raise Conflict(f"Schedule {schedule.id} is being deleted together with what it made.")
    return schedule


def delete(tx: Transaction, who: Scope, schedule_id: str) -> None:
    """Delete a schedule. What it has made stays, and a person's to delete. Raises ``NotFound``.

    Of one that is going together with what it made, what is left by now stays.
    """
    schedules.delete(tx, schedules.get(tx, who, schedule_id).id)


@serialized(quotas.turn)
def delete_with_made(tx: Transaction, who: Scope, schedule_id: str, tunables: Tunables) -> None:
    """Delete a schedule and all that it made and nobody has made his own; a first part is begun.

    Raises ``NotFound``. Asked for again, it goes on.
    """
    schedule, at = schedules.get(tx, who, schedule_id), now()
    if schedule.clear_at is None:
        schedules.end_runs(tx, schedule, at, "The schedule is being deleted.")
        off = {"enabled": False, "next_run_at": None, "planned_at": None}
        schedules.change(tx, schedule.id, clear_at=at, cleared_at=at, updated_at=at, **off)
        clear.take_turn(tx, schedule.id, schedule.project_id, tunables)

"""A turn of a run: as much of it as one transaction may do. Loops take turns until there is nothing left.

A run goes through these, a part of each in every turn::

    list     the volumes that it is about: items, in ``waiting``
    begin    waiting -> begun    by the verbs that a tenant asks for, in the name of the schedule's project
                     -> failed   refused: over quota, gone; or busy for twenty minutes
    look     begun   -> made     what was made is there
                     -> failed   it could not be made
    settle   none waits and none is begun: the run is ``done`` or ``failed``, and its project told why
    prune    made    -> done     what is older of that volume, and no rule keeps, is being deleted

All of it is rows: whatever kills a process has ended a turn or left no trace of it. Of a volume nothing is
pruned before its newest is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pumice.model.backup import Backup
from pumice.model.errors import Conflict, InvalidState, NotFound, PumiceError, Retryable, TooBusy
from pumice.model.group import GroupSnapshot
from pumice.model.recurrence import local
from pumice.model.schedule import Item, ItemState, Makes, Run, RunState, Schedule
from pumice.model.tunables import Tunables
from pumice.model.volume import Snapshot
from pumice.store import backups, groups, hosts, messages, operations, projects, schedules, volumes
from pumice.store.columns import now
from pumice.store.database import Transaction, nested
from pumice.store.messages import Event
from pumice.store.serialize import serialized
from pumice.volumes.backups import create as create_backup
from pumice.volumes.groups import snapshot as create_group_snapshot
from pumice.volumes.schedules.prune import description_of, prune
from pumice.volumes.snapshots import create as create_snapshot

LOOK_SECONDS = 15.0
"""Until the next turn, where something has to happen before there is anything to do."""
MOST_TRIES = 80
"""How often what is busy is tried: for twenty minutes."""
MOST_LISTED = 500
"""Volumes that one turn looks through for their metadata."""
MOST_UNDER_WAY = 200
"""The most volumes of which a run makes something at a time."""
MOST_AT_ONCE = 20
"""What one turn begins, and prunes."""

I, R = ItemState, RunState  # noqa: E741
BUSY = (InvalidState, Conflict, TooBusy)
"""What may be otherwise when it is tried again."""


@dataclass(frozen=True, slots=True)
class Turned:
    """What a turn came to."""

    more: bool = False
    """Whether there is more to do at once."""
    ended: Run | None = None
    """The run, if this turn has settled it."""
    makes: str = ""


def turn(tx: Transaction, run_id: str, tunables: Tunables) -> Turned:
    """Go on with a run, if it is there and nobody else does."""
    run, at = schedules.find_run(tx, run_id), now()
    later = at + timedelta(seconds=LOOK_SECONDS)
    if run is None or run.look_at is None or not schedules.take_run(tx, run, later):
        return Turned()
    schedule = schedules.find(tx, run.schedule_id)
    assert schedule is not None  # its runs are gone with it
    if schedule.clear_at is not None:
        schedules.change_run(tx, run, look_at=None)
        return Turned()
    more, ended, pruned = False, None, 0
    if run.state == R.RUNNING:
        more = _go_on(tx, run, schedule, tunables)
        ended = None if more else _settled(tx, run, schedule, at)
    to_prune = schedules.items_in(tx, run, I.MADE, MOST_AT_ONCE)
    for item in to_prune:
        if not prune(tx, schedule, item.target_id, MOST_AT_ONCE, tunables):
            schedules.change_item(tx, item, state=I.DONE)
            pruned += 1
    more |= pruned == MOST_AT_ONCE
    if more:
        schedules.change_run(tx, run, look_at=at)
    elif (ended or run).state != R.RUNNING and not schedules.items_in(tx, run, I.MADE, 1):
        schedules.change_run(tx, run, look_at=None)
    return Turned(more, ended, schedule.makes)


@serialized(lambda _, project_id, *__: f"quota of {project_id}")
def take_turn(tx: Transaction, run_id: str, project_id: str, tunables: Tunables) -> Turned:
    """``turn``, as a transaction of its own."""
    return turn(tx, run_id, tunables)


def _go_on(tx: Transaction, run: Run, schedule: Schedule, tunables: Tunables) -> bool:
    """List, look and begin; whether there is more to do at once."""
    if not run.listed:
        try:
            _refuse_where_nobody_is(tx, schedule)
            run = _listed(tx, run, schedule)
        except PumiceError as error:
            _refused(tx, run, schedule, error)
            return False
    if not run.listed:
        return True
    begun = schedules.items_in(tx, run, I.BEGUN, MOST_UNDER_WAY)
    room = MOST_UNDER_WAY - len(begun) + _looked(tx, schedule, begun)
    for item in schedules.items_in(tx, run, I.WAITING, min(room, MOST_AT_ONCE)):
        room -= _begin(tx, schedule, item, tunables)
    [*left] = schedules.items_in(tx, run, I.WAITING, 1)
    return bool(room > 0 and left and not left[0].tries)


def _refuse_where_nobody_is(tx: Transaction, schedule: Schedule) -> None:
    project = projects.get(tx, schedule.project_id)
    if project is not None and not (project["enabled"] and project["domain_enabled"]):
        raise Conflict("The project is disabled: nothing is made for it.")


def _listed(tx: Transaction, run: Run, schedule: Schedule) -> Run:
    """The run with the next part of its volumes listed. Raises ``NotFound`` where what it is about is gone."""
    place: tuple[datetime, str] | None = None
    if schedule.tags is not None:
        found, place = schedules.tagged(tx, run, schedule.tags, MOST_LISTED)
    elif schedule.volume_id is not None:
        found = [str(volumes.get(tx, schedule.owner, schedule.volume_id).id)]
    else:
        group = groups.get(tx, schedule.owner, str(schedule.group_id))
        in_it = [str(volume.id) for volume in groups.volumes_in(tx, group.id)]
        found = in_it if schedule.makes == Makes.BACKUP else [group.id]
    schedules.add_items(tx, run, found)
    listed_at, listed_id = place or (None, None)
    values = {"listed": place is None, "listed_at": listed_at, "listed_id": listed_id}
    schedules.change_run(tx, run, volumes=run.volumes + len(found), **values)
    return replace(run, listed=place is None, volumes=run.volumes + len(found))


def _refused(tx: Transaction, run: Run, schedule: Schedule, error: PumiceError) -> None:
    """Nothing can be made. What is gone does not come back: the schedule of it is switched off."""
    text = str(error)
    if isinstance(error, NotFound):
        text += " The schedule is switched off."
        schedules.change(tx, schedule.id, enabled=False, next_run_at=None, planned_at=None)
    schedules.change_run(tx, run, listed=True, error=text)


def _looked(tx: Transaction, schedule: Schedule, begun: Sequence[Item]) -> int:
    """Note of what was begun what has ended; how many."""
    status = schedules.statuses(tx, schedule, begun)
    ended = [item for item in begun if status.get(str(item.made_id)) != "creating"]
    why = operations.completions(tx, [str(item.operation_id) for item in ended]) if ended else {}
    for item in ended:
        was = status.get(str(item.made_id))
        if was in ("error", None):
            gone = "It was deleted while it was being made."
            error = gone if was is None else why.get(str(item.operation_id), (False, None))[1]
            text = hosts.hidden(tx, error or "It could not be made.")
            schedules.change_item(tx, item, state=I.FAILED, error=text)
        else:
            schedules.change_item(tx, item, state=I.MADE)
    return len(ended)


def _begin(tx: Transaction, schedule: Schedule, item: Item, tunables: Tunables) -> bool:
    """Begin to make what is due of a volume or group; whether it is begun."""
    try:
        with nested(tx):
            _make(tx, schedule, item, tunables)
    except Retryable:
        raise
    except PumiceError as error:
        is_busy = isinstance(error, BUSY) and item.tries + 1 < MOST_TRIES
        state = I.WAITING if is_busy else I.FAILED
        schedules.change_item(tx, item, state=state, tries=item.tries + 1, error=str(error))
        return False
    return True


def _make(tx: Transaction, schedule: Schedule, item: Item, tunables: Tunables) -> None:
    at, who = now(), schedule.owner
    name = f"{schedule.name[:230]} {local(at, schedule.timezone):%Y-%m-%d %H:%M}"
    description = description_of(schedule)
    made: Backup | Snapshot | GroupSnapshot
    if schedule.makes == Makes.BACKUP:
        made = create_backup.accept(
            tx,
            who,
            create_backup.Wanted(
                item.target_id,
                incremental=_is_incremental(tx, schedule, item.target_id),
                force=True,
                name=name,
                description=description,
                container=schedule.container,
            ),
            tunables,
        )
    elif schedule.group_id:
        made = create_group_snapshot.accept(
            tx, who, item.target_id, name=name, description=description, tunables=tunables
        )
    else:
        made = create_snapshot.accept(
            tx,
            who,
            item.target_id,
            name=name,
            description=description,
            metadata={},
            in_use=True,
            tunables=tunables,
        )
    schedules.change_item(
        tx,
        item,
        state=I.BEGUN,
        operation_id=made.operation_id,
        made_id=made.id,
        made_at=at,
        name=name,
        error=None,
    )


def _is_incremental(tx: Transaction, schedule: Schedule, volume_id: str) -> bool:
    """Whether the next backup adds to the last: it is of that size, and few enough follow a whole one."""
    if not schedule.full_every:
        return False
    volume = volumes.get(tx, schedule.owner, volume_id)
    try:
        last: Backup | None = create_backup.parent_of(tx, schedule.owner, volume)
    except InvalidState:
        return False
    number = 0
    while last is not None and number < schedule.full_every:
        number += 1
        if last.parent_id is None:
            return number < schedule.full_every
        last = backups.find(tx, last.parent_id)
    return False


def _settled(tx: Transaction, run: Run, schedule: Schedule, at: datetime) -> Run | None:
    """The run as it ended, its project told if it failed; None while something is under way."""
    run = schedules.find_run(tx, run.id) or run
    number = schedules.count_items(tx, run)
    failed = number.get(I.FAILED, 0)
    made = number.get(I.MADE, 0) + number.get(I.DONE, 0) + number.get(I.DROPPED, 0)
    counted: dict[str, Any] = {"made": made, "failed": failed}
    if number.get(I.WAITING, 0) or number.get(I.BEGUN, 0):
        if (made, failed) != (run.made, run.failed):
            schedules.change_run(tx, run, **counted)
        return None
    error = run.error
    if failed:
        [first] = schedules.items_in(tx, run, I.FAILED, 1)
        error = f"Of {run.volumes}, {failed} failed; {first.target_id}: {first.error}"
    state = R.FAILED if error else R.DONE
    schedules.change_run(tx, run, state=state, finished_at=at, error=error, **counted)
    if error:
        text = f"Schedule '{schedule.name}' made no {schedule.makes} of everything. {error}"
        messages.tell(tx, schedule.project_id, Event.RUN_SCHEDULE, schedule.id, text, None)
    return replace(run, state=state, finished_at=at, error=error, **counted)

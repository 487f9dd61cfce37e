"""Delete a schedule together with what it has made: a turn at a time, and at last the schedule itself.

Each thing goes by the delete that a tenant asks for, so by an operation of its own, for good. What somebody has
made his own stays, and so does what is in the recycle bin: no longer the schedule's. What is busy, or needed by
something that stays, is tried again; when for twenty minutes nothing more could be deleted the schedule goes
without it, and the project is told what was left.
"""

from datetime import timedelta

from pumice.model.schedule import Made, Schedule
from pumice.model.tunables import Tunables
from pumice.store import messages, schedules
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.messages import Event
from pumice.store.serialize import serialized
from pumice.volumes.schedules.prune import begin_to_delete, description_of

LOOK_SECONDS = 15.0
"""Until the next turn."""
PATIENCE = timedelta(minutes=20)
MOST_LOOKED = 200
"""The most of what was made that one turn looks at, what was tried least first."""
MOST_BEGUN = 20


@serialized(lambda _, project_id, *__: f"quota of {project_id}")
def take_turn(tx: Transaction, schedule_id: str, project_id: str, tunables: Tunables) -> bool:
    """Go on with it, if nobody else does; whether there is more to do at once."""
    schedule, at = schedules.find(tx, schedule_id), now()
    if schedule is None or schedule.clear_at is None:
        return False
    later = at + timedelta(seconds=LOOK_SECONDS)
    if not schedules.take_clearing(tx, schedule, later):
        return False
    found = schedules.made_by(tx, schedule, description_of(schedule), MOST_LOOKED)
    gone, under_way, begun, refused = 0, 0, 0, ""
    for one in found:
        if one.status in (None, "recycled") or not one.is_as_made:
            schedules.forget_made(tx, one.item)
            gone += 1
            continue
        why = None
        if one.status in ("creating", "deleting"):
            under_way += 1
        elif begun < MOST_BEGUN and (why := begin_to_delete(tx, schedule, one, tunables)) is None:
            begun += 1
        elif begun == MOST_BEGUN:
            break
        refused = refused or (why or "")
        schedules.change_item(tx, one.item, tries=one.item.tries + 1)
    if gone == len(found) < MOST_LOOKED:
        schedules.delete(tx, schedule.id)
        return False
    if (
        gone
        or begun
        or under_way
        or schedule.cleared_at is None
        or schedules.is_astray(schedule.cleared_at, at)
    ):
        schedules.change(tx, schedule.id, cleared_at=at)
    elif at - schedule.cleared_at > PATIENCE:
        _give_up(tx, schedule, found, refused)
        return False
    if more := begun == MOST_BEGUN or gone == MOST_LOOKED:
        schedules.change(tx, schedule.id, clear_at=at)
    return more


def _give_up(tx: Transaction, schedule: Schedule, left: list[Made], why: str) -> None:
    ids = ", ".join(str(one.item.made_id) for one in left[:5])
    text = f"Schedule '{schedule.name}' was deleted, and not all that it made: {ids} could not be. {why}"
    messages.tell(tx, schedule.project_id, Event.RUN_SCHEDULE, schedule.id, text, None)
    schedules.delete(tx, schedule.id)

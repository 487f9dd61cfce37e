"""Prune what a schedule has made of one volume or group: delete what no rule keeps.

Only what an item of the schedule names is looked at, and never what somebody has made his own: by another name,
by a description or metadata, or by giving it to another project. What is in use is left for the next time: a
backup to which an incremental one adds, a snapshot that is being copied.
"""

from pumice.model.errors import PumiceError, Retryable
from pumice.model.retention import kept
from pumice.model.schedule import ItemState, Made, Makes, Schedule
from pumice.model.tunables import Tunables
from pumice.store import schedules
from pumice.store.database import Transaction, nested
from pumice.volumes.backups import delete as delete_backup
from pumice.volumes.groups import delete_snapshot as delete_group_snapshot
from pumice.volumes.snapshots import delete as delete_snapshot

_NOTHING_TO_KEEP = ("creating", "deleting", "error", "error_deleting", "recycled")
"""States in which there is nothing to keep; what somebody has put into the recycle bin is the bin's."""


def description_of(schedule: Schedule) -> str:
    """The description of whatever a schedule makes."""
    return f"Made by schedule {schedule.id}"


def prune(tx: Transaction, schedule: Schedule, target_id: str, most: int, tunables: Tunables) -> bool:
    """Begin at most so many deletes; whether there will be more to do when those have ended."""
    found = schedules.made_of(tx, schedule, target_id, description_of(schedule))
    for one in found:
        if one.status is None:
            schedules.forget_made(tx, one.item)
    ours = [one for one in found if one.status is not None and one.is_as_made]
    there = {
        str(one.item.made_id): one.item.made_at
        for one in ours
        if one.status not in _NOTHING_TO_KEEP and one.item.made_at is not None
    }
    keep = kept(there, schedule.rule, schedule.timezone)
    drop = [one for one in ours if _is_broken(one) or one.item.made_id in there.keys() - keep]
    drop.sort(key=lambda one: (str(one.item.made_at), one.item.id), reverse=True)  # children before parents
    begun = sum(begin_to_delete(tx, schedule, one, tunables) is None for one in drop[:most])
    under_way = begun or any(one.status == "deleting" for one in ours)
    return bool(len(drop) > begun and under_way)


def _is_broken(one: Made) -> bool:
    """Whether it never was whole, or is not any more since it began to be deleted."""
    never = one.item.state in (ItemState.FAILED, ItemState.DROPPED)
    return one.status == "error_deleting" or (one.status == "error" and never)


def begin_to_delete(tx: Transaction, schedule: Schedule, one: Made, tunables: Tunables) -> str | None:
    """Begin to delete what a schedule made, for good; why that is refused, or None."""
    made_id, who = str(one.item.made_id), schedule.owner
    try:
        with nested(tx):
            if schedule.makes == Makes.BACKUP:
                delete_backup.accept(tx, who, made_id, tunables)
            elif schedule.group_id:
                delete_group_snapshot.accept(tx, who, made_id, tunables, for_good=True)
            else:
                delete_snapshot.accept(tx, who, made_id)
            schedules.change_item(tx, one.item, state=ItemState.DROPPED)
    except Retryable:
        raise
    except PumiceError as error:
        return str(error)
    return None

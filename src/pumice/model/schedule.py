"""Schedules of snapshots and backups, and their runs, as the rooms hand them to one another. Times in UTC."""

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from pumice.model.ids import ProjectId, UserId
from pumice.model.retention import Keep
from pumice.model.scope import Scope


class Makes(StrEnum):
    """What a schedule makes."""

    SNAPSHOT = "snapshot"
    BACKUP = "backup"


class RunState(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """Nothing was made of at least one volume."""


class ItemState(StrEnum):
    """How far a run is with one volume or group."""

    WAITING = "waiting"
    """To be begun, or to be tried again."""
    BEGUN = "begun"
    MADE = "made"
    """What is older may now be pruned."""
    DONE = "done"
    DROPPED = "dropped"
    """What was made is being deleted, because no rule keeps it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to make a snapshot or backup of what, and how many of them to keep."""

    id: str
    project_id: str
    user_id: str
    name: str
    makes: Makes
    volume_id: str | None
    """What it is about: a volume, or the next, or the volumes whose metadata have all of these pairs."""
    group_id: str | None
    tags: dict[str, str] | None
    cron: str
    timezone: str
    keep: dict[str, int]
    full_every: int | None
    """One backup in so many is a whole one, and those between are incremental."""
    container: str | None
    """Where backups go, if not where all do."""
    enabled: bool
    next_run_at: datetime | None
    planned_at: datetime | None
    """When that was reckoned: never later than now, unless the clock was put back."""
    last_run_id: str | None
    clear_at: datetime | None
    """When to go on with deleting it and what it made; None while it stays."""
    cleared_at: datetime | None
    """When that came on last."""
    created_at: datetime
    updated_at: datetime | None

    @property
    def owner(self) -> Scope:
        """In whose name it acts: a member of its project."""
        return Scope(UserId(self.user_id), ProjectId(self.project_id), frozenset({"member"}))

    @property
    def rule(self) -> Keep:
        """How many are kept."""
        return Keep(**{each.name: self.keep.get(each.name) or 0 for each in fields(Keep)})


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a schedule was due, or that somebody said so."""

    id: str
    schedule_id: str
    project_id: str
    due_at: datetime
    manual: bool
    state: RunState
    started_at: datetime
    finished_at: datetime | None
    volumes: int
    """How many volumes, or groups, were found."""
    made: int
    failed: int
    error: str | None
    """Why the first of them failed, or all."""
    listed: bool
    """Whether all volumes that it is about were found."""
    listed_at: datetime | None
    """How far the project's volumes have been looked through for their metadata, by the time
    at which they were made, and by id."""
    listed_id: str | None
    look_at: datetime | None
    """When to go on with it; None once everything is done, and pruned."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a run does with one volume or group. It is also what says that a schedule has made something."""

    id: str
    run_id: str | None
    """None when the run was forgotten."""
    schedule_id: str
    target_id: str
    state: ItemState
    tries: int
    operation_id: str | None
    made_id: str | None
    """The snapshot, group snapshot or backup; None when there is none, or none any more."""
    made_at: datetime | None
    name: str | None
    """The name that it was given: who gives it another has made it his own."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Made:
    """Something that a schedule has made, as it is now."""

    item: Item
    status: str | None
    """None: it is gone."""
    is_as_made: bool
    """Whether nobody has renamed, described or tagged it, nor has it come to another project."""

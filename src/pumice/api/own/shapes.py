"""What the answers of Pumice's own API are made of; and of these, the OpenAPI document.

What is here stays: later versions may add to it, and take nothing away (``docs/own-api.md``).
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

Moment = Annotated[
    datetime, PlainSerializer(lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", when_used="json")
]
"""A time in UTC, with milliseconds."""


class Shape(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


State = Literal["running", "waiting", "undoing", "cleaning", "done", "failed"]


class Operation(Shape):
    """One run of something that was asked for."""

    id: str
    kind: str = Field(description="What it does: volume.create.")
    subject: str = Field(description="The id of what it is about.")
    project_id: str | None
    request_id: str | None = Field(description="The request that began it (X-Openstack-Request-Id).")
    parent_id: str | None = Field(description="The operation that it is a part of, or that waits for it.")
    state: State = Field(
        description="waiting: for others. undoing: it turns back. cleaning: how it ended was told, and what "
        "it made is still being removed."
    )
    step: str | None = Field(description="The step in hand.")
    steps: list[str] = Field(description="All steps, in their order.")
    progress: float | None = Field(description="How far a long step is, from 0 to 1.")
    cancelled: bool = Field(description="Whether it was asked to turn back.")
    error: str | None = Field(description="Why it failed.")
    created_at: Moment
    finished_at: Moment | None
    ends_by: Moment | None = Field(description="When it has ended at the latest, one way or the other.")
    place: str | None = Field(description="Where the step in hand runs; told to who may know hosts.")


class Line(Shape):
    """A step that was done, undone or tried."""

    step: str
    direction: Literal["do", "undo"]
    outcome: str = Field(description="done, retry, failed or waiting.")
    started_at: Moment
    seconds: float
    times: int = Field(description="How many tries in a row this line stands for.")
    error: str | None = Field(description="Told to who may know hosts, as is the place.")
    place: str | None


class OperationInFull(Operation):
    """One operation with its history."""

    lines: list[Line]
    waits_for: list[str] = Field(description="The operations for which it waits.")
    tries: int = Field(description="How often the step in hand was tried in vain.")
    next_try_at: Moment | None = Field(description="When it is tried again, after trouble.")
    retry_refused: str | None = Field(
        description="Why a retry is refused, and what to do instead; null where it may be tried again."
    )


class Link(Shape):
    """Where a list goes on."""

    rel: Literal["next"]
    href: str


class Operations(Shape):
    """A page of operations."""

    operations: list[Operation]
    operations_links: list[Link] = Field(default_factory=list)


class OneOperation(Shape):
    """An operation."""

    operation: OperationInFull


class Retried(Shape):
    """What a retry came to."""

    operation_id: str | None = Field(description="What now goes on; null where nothing was left to do.")
    anew: bool = Field(description="Whether that is another operation than was asked about.")


class Reason(Shape):
    """Why a thing is in its state."""

    id: str
    kind: str
    status: str
    since: Moment | None
    operation_id: str | None = Field(description="The operation that holds it.")
    text: str = Field(description="A paragraph: what state, since when, why, what happens next and until when.")


class Why(Shape):
    """The reason for a state."""

    why: Reason


class Verdict(Shape):
    """What a filter says of a pool."""

    filter: str
    passes: bool
    figures: str | None = Field(description="What the pool has of what is asked for.")


class Pool(Shape):
    """A pool as the scheduler looks at it."""

    name: str
    fits: bool
    verdicts: list[Verdict]
    weight: float | None
    shares: dict[str, float] = Field(description="What each weigher gives it.")


class Left(Shape):
    """How many pools are left behind a filter."""

    filter: str
    pools: int


class Choice(Shape):
    """What would become of a request for a volume."""

    fits: bool
    size: int = Field(description="GiB.")
    availability_zones: list[str]
    advice: list[str] = Field(description="Where no pool fits: what to change so that one would.")
    looked_at: int = Field(description="How many pools there are.")
    left: list[Left] = Field(
        description="How many of them each filter leaves, in the order in which they are asked."
    )
    winner: str | None = Field(description="The pool; told, as are all pools, to who may know them.")
    drawn: bool = Field(description="Whether the winner is drawn by chance, the likeliest being named.")
    pools: list[Pool]


class Explanation(Shape):
    """Where a volume would be made, and why."""

    explanation: Choice


class ImageBase(Shape):
    """The bytes of an image in a pool, of which volumes are cloned."""

    id: str
    pool: str
    image_id: str
    size: int = Field(description="GiB: so much is claimed for it in its pool.")
    status: Literal["creating", "available", "deleting", "error", "error_deleting"]
    uses: int = Field(description="How many volumes began with it.")
    used_at: Moment = Field(description="When the last one did.")
    created_at: Moment
    operation_id: str | None = Field(description="The operation that makes it, or lets it go.")


class ImageBases(Shape):
    """What the image cache keeps."""

    image_bases: list[ImageBase]


class Begun(Shape):
    """What was begun."""

    operation_id: str


class Webhook(Shape):
    """Where a project is told what its operations do."""

    id: str
    project_id: str
    url: str
    description: str | None
    kinds: list[str]
    outcomes: list[str]
    format: str = Field(
        description="pumice: the event as the stream has it; cinder: a notification as Cinder's."
    )
    enabled: bool
    disabled_reason: str | None = Field(description="Why Pumice has disabled it.")
    failing_since: Moment | None = Field(description="Since when every try has failed.")
    created_at: Moment
    updated_at: Moment | None
    secret: str = Field(
        "",
        description="By it signatures are verified. Told where it was made or changed, and never again.",
    )


class Webhooks(Shape):
    """A page of webhooks."""

    webhooks: list[Webhook]
    webhooks_links: list[Link] = Field(default_factory=list)


class OneWebhook(Shape):
    """A webhook."""

    webhook: Webhook


class Keep(Shape):
    """How many are kept of what a schedule makes of one volume: whatever one of the rules keeps."""

    last: int = Field(0, description="The last so many.")
    daily: int = Field(0, description="The last of each of so many days on which there was one.")
    weekly: int = Field(0, description="The same by weeks, from Monday.")
    monthly: int = Field(0, description="The same by months.")


class Run(Shape):
    """One time that a schedule was due."""

    id: str
    schedule_id: str
    due_at: Moment
    manual: bool = Field(description="Whether somebody said: now.")
    state: Literal["running", "done", "failed"] = Field(
        description="failed: of at least one volume nothing was made."
    )
    started_at: Moment
    finished_at: Moment | None
    volumes: int = Field(description="How many volumes were found, or groups.")
    made: int = Field(description="Of how many a snapshot or backup was made.")
    failed: int
    error: str | None = Field(description="Why the first of them failed, or all.")


class Item(Shape):
    """What a run made of one volume or group."""

    target_id: str = Field(description="The volume, or the group.")
    state: Literal["waiting", "begun", "done", "dropped", "failed"] = Field(
        description="waiting: it is busy, and tried again. dropped: no rule keeps it any more."
    )
    made_id: str | None = Field(description="The snapshot, group snapshot or backup, while it is there.")
    operation_id: str | None
    error: str | None


class RunInFull(Run):
    """A run with what it made."""

    items: list[Item] = Field(description="Of a thousand volumes at most; what failed comes first.")


class Schedule(Shape):
    """When a snapshot or backup is made of what, and how many are kept."""

    id: str
    project_id: str
    name: str
    kind: Literal["snapshot", "backup"]
    cron: str = Field(description="Minute, hour, day of the month, month, day of the week: 0 3 * * *")
    timezone: str = Field(description="Whose clocks these are, by its name in the IANA database.")
    keep: Keep = Field(description="Where every number is 0, everything is kept.")
    volume_id: str | None
    group_id: str | None
    metadata: dict[str, str] | None = Field(description="Every volume of the project with all of these.")
    full_every: int | None = Field(description="Each so many backups is a whole one, the others incremental.")
    container: str | None
    enabled: bool
    deleting: bool = Field(description="Whether it is being deleted together with what it made.")
    next_run_at: Moment | None
    last_run: Run | None
    created_at: Moment
    updated_at: Moment | None


class OneSchedule(Shape):
    """A schedule."""

    schedule: Schedule


class ManySchedules(Shape):
    """A page of schedules."""

    schedules: list[Schedule]
    schedules_links: list[Link] = Field(default_factory=list)


class OneRun(Shape):
    """A run that was begun."""

    run: Run


class OneRunInFull(Shape):
    """A run."""

    run: RunInFull


class Runs(Shape):
    """A page of runs, the newest first."""

    runs: list[Run]
    runs_links: list[Link] = Field(default_factory=list)


class Wrong(Shape):
    """Something that is not as it should be."""

    kind: str
    id: str
    text: str


class Look(Shape):
    """What was found when all rows were looked at."""

    at: Moment = Field(description="When. A look is kept for a minute.")
    well: bool = Field(description="Whether nothing is stuck, and nothing contradicts itself.")
    violations: list[Wrong]


class Audit(Shape):
    """Whether all is as it should be, as far as rows can tell."""

    audit: Look


class Used(Shape):
    """What a project used on one day."""

    project_id: str
    day: str = Field(description="In UTC: 2026-11-27.")
    kind: Literal["volume", "backup"] = Field(description="volume: volumes and their snapshots.")
    volume_type: str | None = Field(description="The name of the type, on that day; null of backups.")
    gib_hours: float


class Usage(Shape):
    """What was used, by day, project, kind and type. The present day is told as far as it has come."""

    usage: list[Used]


class Event(Shape):
    """An operation has begun or ended, or one of its steps has. The event's id is its place in the log."""

    kind: str
    project_id: str | None
    subject: str
    operation_id: str
    step: str = Field(description="Empty where it is the operation that has begun or ended.")
    direction: Literal["do", "undo"]
    outcome: str = Field(
        description="start, end or error of an operation; done, retry, failed or waiting of a step."
    )
    at: Moment


class Recycled(Shape):
    """A volume or a snapshot that was deleted and is kept for a while."""

    id: str
    kind: Literal["volume", "snapshot"]
    state: Literal["kept", "going", "stuck"] = Field(
        description="kept: it can be restored. going: it is being deleted for good. stuck: its bytes may be "
        "gone in part, and it can only be deleted."
    )
    name: str | None
    description: str | None
    project_id: str
    user_id: str
    volume_id: str = Field(description="A snapshot's volume; a volume's own id.")
    size: int = Field(description="GiB.")
    metadata: dict[str, str]
    counts_for_quota: bool
    recycled_at: Moment
    kept_until: Moment = Field(
        description="Not before then is it deleted for good, if space does not run short."
    )
    told_at: Moment | None = Field(
        description="When its project was told that space is short, and that it may go."
    )


class RecycleBin(Shape):
    """A page of what is in the recycle bin."""

    recycle_bin: list[Recycled]
    recycle_bin_links: list[Link] = Field(default=[])


class OneRecycled(Shape):
    """One thing in the recycle bin."""

    recycled: Recycled


class Purged(Shape):
    """The operation that deletes it for good."""

    operation_id: str | None

"""Schedules: snapshots and backups that are made by themselves, and pruned (``docs/schedules.md``)."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from pumice.api.call import Call, Reply, check
from pumice.api.collection import Collection, View
from pumice.api.fields import Body, Boolean, Metadata, NotBlank, Positive, Text, Uuid
from pumice.api.own import shapes
from pumice.api.own.rules import all_projects
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route, writes
from pumice.model.errors import Invalid, NotFound
from pumice.model.schedule import Item, ItemState, Makes, Run, Schedule
from pumice.store import schedules
from pumice.store.database import Transaction
from pumice.volumes.schedules import accept

MOST_ITEMS = 1000
"""Volumes that are shown of a run."""
_PLAIN = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "offset", "all_projects"})
_FILTERS = ("name", "volume_id", "group_id")
MAKES = {
    Makes.SNAPSHOT: Rule("volume:create_snapshot", MEMBER),
    Makes.BACKUP: Rule("backup:create", MEMBER),
}
"""Who has something made by a schedule must be allowed to make it."""
MAKES_OF_GROUP = Rule("group:create_group_snapshot", MEMBER)
UNMAKES = {
    Makes.SNAPSHOT: Rule("volume:delete_snapshot", MEMBER),
    Makes.BACKUP: Rule("backup:delete", MEMBER),
}
"""Who has what a schedule made deleted must be allowed to delete it."""
UNMAKES_OF_GROUP = Rule("group:delete_group_snapshot", MEMBER)


def _some(value: dict[str, str]) -> dict[str, str]:
    if not value:
        raise ValueError("Name at least one pair: it would mean every volume")
    return value


Count = Annotated[int, Field(ge=0, le=10_000)]


class KeepBody(Body):
    """How many to keep."""

    last: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0


class NewSchedule(Body):
    """What may be asked of a new schedule."""

    name: NotBlank
    kind: Makes
    cron: Text
    timezone: Text = "UTC"
    keep: KeepBody = Field(default_factory=KeepBody)
    volume_id: Uuid | None = None
    group_id: Uuid | None = None
    metadata: Annotated[Metadata, AfterValidator(_some)] | None = None
    full_every: Annotated[Positive, Field(le=1000)] | None = None
    container: Text | None = None
    enabled: Boolean = True

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if sum(it is not None for it in (self.volume_id, self.group_id, self.metadata)) != 1:
            raise ValueError("Name one of volume_id, group_id and metadata")
        return self


class ScheduleChanges(Body):
    """What may be changed of a schedule; what it is about stays."""

    name: NotBlank = ""
    cron: Text = ""
    timezone: Text = ""
    keep: KeepBody = Field(default_factory=KeepBody)
    full_every: Annotated[Positive, Field(le=1000)] | None = None
    enabled: Boolean = True


class NewScheduleBody(Body):
    """The body of a create."""

    schedule: NewSchedule


class ScheduleChangesBody(Body):
    """The body of a change."""

    schedule: ScheduleChanges


def view(one: Schedule, last: Run | None) -> dict[str, Any]:
    """A schedule."""
    same = ("id", "project_id", "name", "cron", "timezone", "volume_id", "group_id", "full_every", "container")
    return shapes.Schedule(
        **{name: getattr(one, name) for name in (*same, "enabled", "next_run_at", "created_at", "updated_at")},
        kind=one.makes,
        keep=shapes.Keep(**one.keep),
        deleting=one.clear_at is not None,
        metadata=one.tags,
        last_run=_run(last) if last else None,
    ).model_dump(mode="json")


def _run_fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in shapes.Run.model_fields}


def _run(run: Run) -> shapes.Run:
    return shapes.Run(**_run_fields(run))


def run_view(_: Call, run: Run) -> dict[str, Any]:
    """A run in a list."""
    return _run(run).model_dump(mode="json")


def _item(item: Item) -> shapes.Item:
    state = ItemState.DONE if item.state == ItemState.MADE else item.state
    same = ("target_id", "made_id", "operation_id", "error")
    return shapes.Item(state=state, **{name: getattr(item, name) for name in same})


def _conditions(call: Call) -> Sequence[Any]:
    if unknown := call.query.keys() - _PLAIN - {*_FILTERS}:
        raise Invalid(f"There is no filter '{min(unknown)}'. There are {', '.join(_FILTERS)}.")
    return [schedules.is_(name, call.query[name]) for name in _FILTERS if name in call.query]


def _with_last_runs(tx: Transaction, _: Call, found: Sequence[Schedule]) -> View[Schedule]:
    """The view of a page: the last runs are read for all at once."""
    runs = schedules.runs_named(tx, [one.last_run_id for one in found if one.last_run_id])
    return lambda one: view(one, runs.get(one.last_run_id or ""))


LIST: Collection[Schedule] = Collection(
    {name: name for name in schedules.COLUMNS}, _conditions, schedules.page, everywhere=all_projects
)


def _refuse_filters(call: Call) -> Sequence[Any]:
    if unknown := call.query.keys() - _PLAIN:
        raise Invalid(f"There is no filter '{min(unknown)}' of runs.")
    return ()


def _of_which(call: Call) -> dict[str, Any]:
    return {"schedule_id": call.args["id"]}


RUNS: Collection[Run] = Collection(
    {name: name for name in schedules.RUN_COLUMNS},
    _refuse_filters,
    schedules.runs_page,
    told=_of_which,
    by="due_at",
)


async def create(call: Call) -> Reply:
    """Make a schedule: 201."""
    asked = check(NewScheduleBody, await call.json()).schedule
    call.require_project("A schedule")
    _require_to_make(call, asked.kind, asked.group_id)
    wanted = accept.Wanted(
        name=asked.name,
        makes=asked.kind,
        cron=asked.cron,
        timezone=asked.timezone,
        keep=_kept(asked.keep),
        volume_id=asked.volume_id,
        group_id=asked.group_id,
        tags=asked.metadata,
        full_every=asked.full_every,
        container=asked.container,
        enabled=asked.enabled,
    )
    made = await call.ctx.db.write(accept.create, call.who, wanted)
    return Reply({"schedule": view(made, None)}, 201)


async def delete_with_made(call: Call) -> Reply:
    """Delete a schedule together with what it made and nobody has made his own: 202."""
    found = await call.ctx.db.read(schedules.get, call.who, call.args["id"])
    for_group = found.group_id is not None and found.makes == Makes.SNAPSHOT
    call.policy.require(UNMAKES_OF_GROUP if for_group else UNMAKES[found.makes], call.who)
    await call.ctx.db.write(accept.delete_with_made, call.who, found.id, call.ctx.tunables)
    return Reply(status=202)


def _require_to_make(call: Call, makes: str, group_id: str | None) -> None:
    """Raises ``Forbidden`` for who may not make by himself what the schedule makes."""
    for_group = group_id is not None and makes == Makes.SNAPSHOT
    call.policy.require(MAKES_OF_GROUP if for_group else MAKES[Makes(makes)], call.who)


def _kept(keep: KeepBody) -> dict[str, int]:
    return {name: number for name, number in keep.model_dump().items() if number}


async def show(call: Call) -> Reply:
    """Show a schedule, with how its last run ended."""

    def read(tx: Transaction) -> dict[str, Any]:
        found = schedules.get(tx, call.who, call.args["id"])
        return view(found, schedules.find_run(tx, found.last_run_id))

    return Reply({"schedule": await call.ctx.db.read(read)})


async def update(call: Call) -> Reply:
    """Change a schedule's name, times, rules of keeping, or whether it is enabled."""
    asked = check(ScheduleChangesBody, await call.json()).schedule
    changes = asked.model_dump(exclude_unset=True, exclude={"keep"})
    if "keep" in asked.model_fields_set:
        changes["keep"] = _kept(asked.keep)
    if not changes:
        raise Invalid("Name what is to be changed: name, cron, timezone, keep, full_every or enabled.")

    def work(tx: Transaction) -> dict[str, Any]:
        found = accept.update(tx, call.who, call.args["id"], changes)
        return view(found, schedules.find_run(tx, found.last_run_id))

    return Reply({"schedule": await call.ctx.db.write(work)})


async def run(call: Call) -> Reply:
    """Run a schedule now, whether it is enabled or not: 202, the run."""

    begun = await call.ctx.db.write(accept.run_now, call.who, call.args["id"], call.ctx.tunables)
    return Reply({"run": run_view(call, begun)}, 202)


async def show_run(call: Call) -> Reply:
    """Show a run, and what it made of each volume."""

    def read(tx: Transaction) -> dict[str, Any]:
        found = schedules.get_run(tx, call.who, call.args["run_id"])
        if found.schedule_id != call.args["id"]:
            raise NotFound("Run", found.id)
        items = [_item(item) for item in schedules.items_page(tx, found.id, MOST_ITEMS)]
        return shapes.RunInFull(**_run_fields(found), items=items).model_dump(mode="json")

    return Reply({"run": await call.ctx.db.read(read)})


_ALL, _ONE = "/schedules", "/schedules/{id}"
_READ = Rule("pumice:schedules:get", READER)
_MADE = (*MAKES.values(), MAKES_OF_GROUP)
ROUTES = (
    Route("GET", _ALL, LIST.answers_with("schedules", _with_last_runs), _READ),
    Route("POST", _ALL, create, Rule("pumice:schedules:create", MEMBER), also=_MADE),
    Route("GET", _ONE, show, _READ, live=True),
    Route("PUT", _ONE, update, Rule("pumice:schedules:update", MEMBER)),
    Route("DELETE", _ONE, writes(accept.delete, 204), Rule("pumice:schedules:delete", MEMBER)),
    Route(
        "POST",
        f"{_ONE}/actions/delete_with_made",
        delete_with_made,
        Rule("pumice:schedules:delete", MEMBER),
        also=(*UNMAKES.values(), UNMAKES_OF_GROUP),
    ),
    Route("POST", f"{_ONE}/actions/run", run, Rule("pumice:schedules:run", MEMBER)),
    Route("GET", f"{_ONE}/runs", RUNS.answers("runs", run_view), _READ),
    Route("GET", f"{_ONE}/runs/{{run_id}}", show_run, _READ),
)

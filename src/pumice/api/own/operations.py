"""The operation log for tenants: their operations, step by step; to cancel one, or to try it again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, View
from pumice.api.own import shapes
from pumice.api.own.rules import INSIDE, all_projects
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route
from pumice.model.errors import Conflict, Invalid
from pumice.model.logged import LoggedOperation
from pumice.operations import retry
from pumice.store import hosts, logged
from pumice.store import operations as log
from pumice.store.database import Transaction

_FILTERS = ("kind", "subject", "volume_id", "state", "parent_id")
_STATES = ("running", "waiting", "undoing", "cleaning", "done", "failed")
MOST_SUBJECTS = 50
"""The most things of which a list may be asked together."""
_PLAIN = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "offset", "all_projects", *_FILTERS})


def _conditions(call: Call) -> Sequence[Any]:
    if unknown := call.query.keys() - _PLAIN:
        raise Invalid(f"There is no filter '{min(unknown)}'. There are {', '.join(_FILTERS)}.")
    asked = {name: value for name, value in call.query.items() if name in _FILTERS}
    if asked.get("state", "done") not in _STATES:
        raise Invalid(f"There is no state '{asked['state']}' of operations. There are {', '.join(_STATES)}.")
    if asked.get("subject", "").count(",") >= MOST_SUBJECTS:
        raise Invalid(f"Name at most {MOST_SUBJECTS} subjects in one request.")
    return [logged.is_(name, value) for name, value in asked.items()]


LIST: Collection[LoggedOperation] = Collection(
    {name: name for name in logged.COLUMNS},
    _conditions,
    logged.page,
    everywhere=all_projects,
    told=lambda call: {"few": not logged.FEW.isdisjoint(call.query)},
)


def plain(call: Call, one: LoggedOperation) -> dict[str, Any]:
    """An operation in a list."""
    return shapes.Operation(**_fields(call, one)).model_dump(mode="json")


def _fields(call: Call, one: LoggedOperation) -> dict[str, Any]:
    inside = call.policy.allows(INSIDE, call.who)
    under_way = one.is_under_way and not one.settled
    return {
        **{name: getattr(one, name) for name in ("id", "kind", "subject", "project_id", "request_id")},
        **{
            name: getattr(one, name) for name in ("parent_id", "step", "cancelled", "created_at", "finished_at")
        },
        "state": "cleaning" if one.state == "undoing" and one.settled else one.state,
        "steps": list(one.steps),
        "progress": one.progress if one.is_under_way else None,
        "error": one.error if inside or (one.settled and one.state != "done") else None,
        "ends_by": _moment(one.deadline) if under_way else None,
        "place": one.place if inside else None,
    }


def full(
    call: Call, one: LoggedOperation, lines: Sequence[Mapping[str, Any]], refused: str | None
) -> dict[str, Any]:
    """An operation by itself, with its history."""
    inside = call.policy.allows(INSIDE, call.who)
    history = [
        shapes.Line(
            **{name: line[name] for name in ("step", "direction", "outcome", "started_at", "seconds", "times")},
            error=line["error"] if inside else None,
            place=line["place"] if inside else None,
        )
        for line in lines
    ]
    later = _moment(one.run_at) if one.tries and one.is_under_way and one.run_at else None
    more = {"lines": history, "waits_for": one.others, "tries": one.tries, "next_try_at": later}
    more["retry_refused"] = refused
    return shapes.OperationInFull(**_fields(call, one), **more).model_dump(mode="json")


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


async def show(call: Call) -> Reply:
    """Show an operation step by step."""
    return Reply({"operation": full(call, *await call.ctx.db.read(_one, call))})


def _one(tx: Transaction, call: Call) -> tuple[LoggedOperation, Sequence[Any], str | None]:
    one = logged.visible(tx, call.who, call.args["id"])
    row = log.get(tx, one.id)
    refused = retry.refused(call.ctx.verbs, row) if row else None
    return _discreet(tx, call, [one])[0], log.lines(tx, one.id), refused


def _discreet(tx: Transaction, call: Call, found: Sequence[LoggedOperation]) -> Sequence[LoggedOperation]:
    """Operations whose errors name no hosts to who is not to know them."""
    if call.policy.allows(INSIDE, call.who):
        return found
    return [replace(one, error=hosts.hidden(tx, one.error)) if one.error else one for one in found]


def _plainly(tx: Transaction, call: Call, found: Sequence[LoggedOperation]) -> View[LoggedOperation]:
    """The view of a page: what is told of an error is read for all at once."""
    errors = {one.id: one for one in _discreet(tx, call, found)}
    return lambda one: plain(call, errors[one.id])


async def cancel(call: Call) -> Reply:
    """Ask an operation to turn back, after the step in hand: 202."""
    await call.ctx.db.write(_cancel, call)
    return Reply(status=202)


def _cancel(tx: Transaction, call: Call) -> None:
    one = logged.visible(tx, call.who, call.args["id"])
    if not log.ask_to_cancel(tx, one.id):
        raise Conflict(f"Operation {one.id} is {one.state}: there is nothing to cancel.")


async def again(call: Call) -> Reply:
    """Try an operation again: what waits for its next try is due now, what failed is asked for anew."""
    retried = await call.ctx.db.write(_retry, call)
    return Reply(shapes.Retried(operation_id=retried.operation_id, anew=retried.anew).model_dump(), 202)


def _retry(tx: Transaction, call: Call) -> retry.Retried:
    one = logged.visible(tx, call.who, call.args["id"])
    return retry.retry(tx, one.id, call.ctx.verbs, call.ctx.tunables)


_ONE = "/operations/{id}"
ROUTES = (
    Route(
        "GET",
        "/operations",
        LIST.answers_with("operations", _plainly),
        Rule("pumice:operations:list", READER),
        also=(INSIDE,),
    ),
    Route("GET", _ONE, show, Rule("pumice:operations:show", READER), also=(INSIDE,), live=True),
    Route("POST", f"{_ONE}/actions/cancel", cancel, Rule("pumice:operations:cancel", MEMBER)),
    Route("POST", f"{_ONE}/actions/retry", again, Rule("pumice:operations:retry", MEMBER)),
)

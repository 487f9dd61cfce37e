"""Try an operation again because a person says so, when whatever was in its way has been put right.

waits for its next try    it is due now, with fresh tries and, if its deadline has passed, a new one
failed                    its verb is asked for again, where the verb says how; the old one stays failed
waits for its parts       they are to be tried again, not it
in somebody's hands       nothing: it is being tried

``refused`` is the one judge of that: the API tells it of each operation, and who offers a retry asks it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pumice.model.errors import Conflict, NotFound, Unreadable
from pumice.model.ids import ProjectId
from pumice.model.scope import INTERNAL
from pumice.model.tunables import Tunables
from pumice.operations.operation import Operation, Verb, from_row, verb_of
from pumice.store import clock
from pumice.store import operations as log
from pumice.store.database import Transaction

MOST_NAMED = 5
"""Operations that are waited for are named, up to so many."""


@dataclass(frozen=True, slots=True)
class Retried:
    """The outcome of trying an operation again."""

    operation_id: str | None
    """The operation that now goes on; None when there was nothing left to do."""
    anew: bool
    """Whether it is another one than was asked about."""


def refused(verbs: Mapping[str, Verb[Any]], row: log.Row) -> str | None:
    """Why this operation cannot be tried again, whoever asks, and what to do instead; None where it can.

    What failed may still be refused by its verb, for what has become of its subject since.
    """
    try:
        verb = verb_of(verbs, row)
        op = from_row(verb, row)
    except Unreadable as error:
        return f"{error} Try it again with the version that began it."
    if op.state == "done":
        return f"Operation {op.id} is done."
    if op.state == "failed" and verb.again:
        return None
    if op.state == "failed":
        return (
            f"Operation {op.id} failed and was undone, and its owner was told why. A '{op.kind}' can only be "
            "asked for again by the owner, who knows whether it is still wanted."
        )
    if op.state == "waiting":
        others = op.notes.get(op.steps[op.position].removeprefix("wait_for_"), ())
        return (
            f"Operation {op.id} waits for others: try those again, and it goes on by itself. {_named(others)}"
        )
    if row["lease_until"] is not None and row["lease_until"] >= clock.time():
        return f"Operation {op.id} is being tried right now."
    return None


def _named(others: Sequence[str]) -> str:
    more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
    return f"They are {', '.join(others[:MOST_NAMED])}{more}."


def retry(tx: Transaction, operation_id: str, verbs: Mapping[str, Verb[Any]], tunables: Tunables) -> Retried:
    """Raises ``NotFound``, or ``Conflict`` that says why it cannot be tried again and what to do instead."""
    row = log.get(tx, operation_id)
    if row is None:
        raise NotFound("Operation", operation_id)
    if why := refused(verbs, row):
        raise Conflict(why)
    verb = verb_of(verbs, row)
    op = from_row(verb, row)
    if op.state == "failed":
        return _ask_again(tx, verb, op, tunables)
    values: dict[str, Any] = {"run_at": 0.0, "tries": 0, "owner": None}
    if not op.settled and op.deadline < clock.time():
        values["deadline"] = clock.time() + verb.limit
    log.force(tx, op.id, op.attempt, values)
    return Retried(op.id, anew=False)


def _ask_again(tx: Transaction, verb: Verb[Any], op: Operation[Any], tunables: Tunables) -> Retried:
    assert verb.again is not None
    who = replace(
        INTERNAL, project_id=ProjectId(op.project_id) if op.project_id else None, request_id=op.request_id or ""
    )
    verb.again(tx, op, who, tunables)
    newest = log.page(tx, states=None, kind=None, subject=op.subject, limit=1)
    return Retried(newest[0]["id"] if newest and newest[0]["id"] != op.id else None, anew=True)

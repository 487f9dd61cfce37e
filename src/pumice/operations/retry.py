"""Try an operation again because a person says so, when whatever was in its way has been put right.

waits for its next try    it is due now, with fresh tries and, if its deadline has passed, a new one
failed                    its verb is asked for again, where the verb says how; the old one stays failed
waits for its parts       they are to be tried again, not it
in somebody's hands       nothing: it is being tried
"""

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Retried:
    """The outcome of trying an operation again."""

    operation_id: str | None
    """The operation that now goes on; None when there was nothing left to do."""
    anew: bool
    """Whether it is another one than was asked about."""


def retry(tx: Transaction, operation_id: str, verbs: Mapping[str, Verb[Any]], tunables: Tunables) -> Retried:
    """Raises ``NotFound``, or ``Conflict`` that says why it cannot be tried again and what to do instead."""
    row = log.get(tx, operation_id)
    if row is None:
        raise NotFound("Operation", operation_id)
    try:
        verb = verb_of(verbs, row)
        op = from_row(verb, row)
    except Unreadable as error:
        raise Conflict(f"{error} Try it again with the version that began it.") from None
    if op.state == "done":
        raise Conflict(f"Operation {op.id} is done.")
    if op.state == "failed":
        return _ask_again(tx, verb, op, tunables)
    if op.state == "waiting":
        step = op.steps[op.position]
        raise Conflict(
            f"Operation {op.id} waits for others ({step}): try those again, and it goes on by itself. "
            f"'pumice operations show {op.id}' names them."
        )
    if row["lease_until"] is not None and row["lease_until"] >= clock.time():
        raise Conflict(f"Operation {op.id} is being tried right now: {op.owner} has it in hand.")
    values: dict[str, Any] = {"run_at": 0.0, "tries": 0, "owner": None}
    if not op.settled and op.deadline < clock.time():
        values["deadline"] = clock.time() + verb.limit
    log.force(tx, op.id, op.attempt, values)
    return Retried(op.id, anew=False)


def _ask_again(tx: Transaction, verb: Verb[Any], op: Operation[Any], tunables: Tunables) -> Retried:
    if verb.again is None:
        raise Conflict(
            f"Operation {op.id} failed and was undone, and its owner was told why. A '{op.kind}' can only be "
            "asked for again by the owner, who knows whether it is still wanted."
        )
    who = replace(
        INTERNAL, project_id=ProjectId(op.project_id) if op.project_id else None, request_id=op.request_id or ""
    )
    verb.again(tx, op, who, tunables)
    newest = log.page(tx, states=None, kind=None, subject=op.subject, limit=1)
    return Retried(newest[0]["id"] if newest and newest[0]["id"] != op.id else None, anew=True)

"""How an operation ends for whoever waits for it: in one way, whichever way it came to its end.

An operation is *settled* once its owner can see how it ended. It is, exactly once, by its last step or its last
undo, by its deadline, or, where this version cannot read it, at its deadline without its verb. What is left to
undo then goes on as *cleaning*, the state of an operation that is settled and still ``undoing``: nobody waits
for it, so its tries are minutes apart, and share one line of the history.
"""

from typing import Any

from pumice.model.errors import Unreadable
from pumice.operations.operation import Operation, Verb
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import Transaction

_TROUBLE = "trouble"
"""The note of what the last try of a step met: the step's name, and what is told."""


def settle(tx: Transaction, verb: Verb[Any], op: Operation[Any], error: str | None) -> None:
    """Say how it ended: well, or with an ``error``. Its parent is woken when the row is written.

    Called again it changes nothing.
    """
    if op.settled:
        return
    if error is not None:
        op.error = error
        verb.failed(tx, op, error)
    op.settled, op.settled_at = True, now()
    tx.notify(log.ended_well_topic(op.id) if error is None else log.ended_topic(op.id))


def why_not_read(error: Exception) -> str:
    """What to note at an operation that this version cannot go on with."""
    return str(error) if isinstance(error, Unreadable) else f"A bug met it: {type(error).__name__}: {error}"


def why_too_late(op: Operation[Any]) -> str:
    """The sentence about an operation whose deadline passed, for its owner: it names no host or pool."""
    step = op.steps[op.position] if 0 <= op.position < len(op.steps) else "the last step"
    return with_trouble(op, f"It did not end in time: '{step}' was not done by the deadline.")


def note_trouble(op: Operation[Any], step: str, told: str) -> None:
    """Note what a try met that is followed by another: the last one may have no time to meet it."""
    op.notes[_TROUBLE] = [step, told]


def with_trouble(op: Operation[Any], told: str) -> str:
    """What is told of a step that had no more time, with what an earlier try of it met."""
    step, trouble = op.notes.get(_TROUBLE, ("", ""))
    is_here = 0 <= op.position < len(op.steps) and op.steps[op.position] == step
    return f"{told} {trouble}" if is_here and trouble != told else told

"""Take back what waits at a place whose service is down, and had chosen it: it chooses again.

An operation that was placed and that nobody has claimed since has done nothing at its place. So its choice is
undone, that place left out, and the next best takes it, long before its deadline. Where there is no other, it
goes on waiting: a process that is started again is no reason to fail.

One that had turned back, and whose undo waits for that host, has failed there already: its undo is handed over,
to be done when the host is back, and it chooses again, or ends.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from pumice.model.errors import PumiceError, Retryable
from pumice.model.tunables import Tunables
from pumice.operations.operation import Operation, Verb, from_row
from pumice.operations.settle import why_not_read
from pumice.operations.state_machine import StateMachine
from pumice.store import clock, overdue
from pumice.store import operations as log
from pumice.store.database import Database, Transaction

logger = structlog.get_logger(__name__)

SECONDS = 15.0


@dataclass(slots=True)
class Waiting:
    """Takes care of operations that the scheduler placed and nobody came for."""

    db: Database
    verbs: Mapping[str, Verb[Any]]
    tunables: Tunables = field(default_factory=Tunables)

    async def check(self) -> int:
        """Take back what can be, seldom anything: so only look first. How many."""
        untouched, stranded = await self.db.read(self._find)
        taken = [await self._each(self._take_back, row["id"]) for row in untouched]
        taken += [await self._each(self._leave, row["id"]) for row in stranded]
        return sum(taken)

    def _find(self, tx: Transaction) -> tuple[Sequence[log.Row], Sequence[log.Row]]:
        down = self.tunables.service_down_seconds
        return log.untouched(tx, down), overdue.stranded(tx, clock.time(), down)

    async def _each(self, take: Callable[[Transaction, str], bool], operation_id: str) -> bool:
        """Take one operation, in a transaction of its own: what one meets stops no other."""
        try:
            taken = await self.db.write(take, operation_id)
        except Retryable:
            raise
        except Exception as error:  # one that this version cannot read, or a bug: its deadline ends it
            logger.warning("operation.not_taken_back", operation=operation_id, error=why_not_read(error))
            return False
        if taken:
            logger.warning("operation.taken_back", operation=operation_id)
        return taken

    def _leave(self, tx: Transaction, operation_id: str) -> bool:
        state_machine = StateMachine(self.verbs, f"waiting:{operation_id}", frozenset(), self.tunables)
        rows = overdue.stranded(tx, clock.time(), self.tunables.service_down_seconds, operation_id)
        return any(state_machine.leave(tx, row) for row in rows)

    def _take_back(self, tx: Transaction, operation_id: str) -> bool:
        for row in log.untouched(tx, self.tunables.service_down_seconds, operation_id):
            verb = self.verbs.get(row["kind"])
            op = from_row(verb, row) if verb else None
            chooser = _chooser(verb, row) if verb else None
            if op is None or verb is None or chooser is None or not self._has_another(tx, verb, op, chooser):
                return False
            error = "The host that was chosen is down, and nothing was begun there."
            op.state, op.resume_at, op.position = "undoing", chooser, op.position - 1
            step = verb.step(op)
            if step is None:
                return False
            values = {"state": "undoing", "resume_at": chooser, "position": op.position, "place": step.at(op)}
            values |= {"error": error, "notes": {**op.notes, "last_error": error}, "run_at": 0.0, "tries": 0}
            log.force(tx, op.id, op.attempt, values | {"owner": None})
            return True
        return False

    def _has_another(self, tx: Transaction, verb: Verb[Any], op: Operation[Any], chooser: int) -> bool:
        """Whether choosing again would find a place; tried, and taken back."""
        step = next(step for step in verb.steps if step.name == op.steps[chooser])
        trial = replace(op, notes=deepcopy(op.notes), position=chooser)
        savepoint = tx.connection.begin_nested()
        try:
            for undoing in (True, False):
                if (work := step.work(undoing)[0]) is not None:
                    work(tx, trial, self.tunables)
        except PumiceError:
            return False
        finally:
            savepoint.rollback()
        return True


def _chooser(verb: Verb[Any], row: log.Row) -> int | None:
    """The position of the choice that only changes of rows follow up to the step in hand, if there is one."""
    steps = {step.name: step for step in verb.steps}
    for position in range(row["position"] - 1, -1, -1):
        step = steps.get(row["steps"][position])
        if step is None or step.work(False)[1] is not None:
            return None
        if step.chooses:
            return position
    return None

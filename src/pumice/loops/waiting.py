"""Take back what waits at a place whose service is down, where nothing of it was begun there: it chooses again.

An operation that was placed and that nobody has claimed since has done nothing at its place. So its choice is
undone, that place left out, and the next best takes it, long before its deadline. Where there is no other, it
goes on waiting: a process that is started again is no reason to fail.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from pumice.model.errors import PumiceError
from pumice.model.rules import Rules
from pumice.operations.operation import Operation, Verb, from_row
from pumice.store import operations as log
from pumice.store.database import Database, Transaction

logger = structlog.get_logger(__name__)

SECONDS = 15.0


@dataclass(slots=True)
class Waiting:
    """What the scheduler placed, and what nobody came for."""

    db: Database
    verbs: Mapping[str, Verb[Any]]
    rules: Rules = field(default_factory=Rules)

    async def look(self) -> int:
        """Take back what can be, seldom anything: so only look first. How many."""
        if not await self.db.read(log.untouched, self.rules.service_down_seconds):
            return 0
        taken = await self.db.write(self._take_back)
        for operation_id in taken:
            logger.warning("operation.taken_back", operation=operation_id)
        return len(taken)

    def _take_back(self, tx: Transaction) -> list[str]:
        taken = []
        for row in log.untouched(tx, self.rules.service_down_seconds):
            verb = self.verbs.get(row["kind"])
            op = from_row(verb, row) if verb else None
            chooser = _chooser(verb, row) if verb else None
            if op is None or verb is None or chooser is None or not self._has_another(tx, verb, op, chooser):
                continue
            error = f"{op.place} is down, and nothing was begun there."
            op.state, op.resume_at, op.position = "undoing", chooser, op.position - 1
            step = verb.step(op)
            if step is None:
                continue
            values = {"state": "undoing", "resume_at": chooser, "position": op.position, "place": step.at(op)}
            values |= {"error": error, "notes": {**op.notes, "last_error": error}, "run_at": 0.0, "tries": 0}
            log.force(tx, op.id, op.attempt, values | {"owner": None})
            taken.append(op.id)
        return taken

    def _has_another(self, tx: Transaction, verb: Verb[Any], op: Operation[Any], chooser: int) -> bool:
        """Whether choosing again would find a place; tried, and taken back."""
        step = next(step for step in verb.steps if step.name == op.steps[chooser])
        trial = replace(op, notes=deepcopy(op.notes), position=chooser)
        savepoint = tx.connection.begin_nested()
        try:
            for undoing in (True, False):
                if (work := step.work(undoing)[0]) is not None:
                    work(tx, trial, self.rules)
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

"""The course an operation takes: the transactions between one step outside and the next.

The life of a row (``state`` in the log)::

    running --(step done)--> running … --> done
      |  ^ \\
      |  |  `--(children under way)--> waiting --(a child ended)--> running
      |  |
      |  `--(undone back to a step that may choose again)--.
      `--(failed for good)--> undoing ---------------------'
                                 `--(undone to the beginning)--> failed

Each function here is one transaction on one operation that this worker holds. It works on a copy, writes the
history's lines and saves the row, naming the attempt: whoever lost the lease writes nothing (``LostLease``).
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from pumice.model.errors import Elsewhere, PumiceError, Trouble
from pumice.model.rules import Rules
from pumice.operations.operation import Operation, Verb, Wait, from_row
from pumice.operations.places import SCHEDULER
from pumice.store import clock
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import Transaction, is_trouble
from pumice.store.turns import in_turn

logger = structlog.get_logger(__name__)

FaultPoint = Callable[[str, str, str, Operation[Any]], None]
"""Where tests make things go wrong. Told ``before`` or ``after``, ``do`` or ``undo``, step, operation."""


def no_faults(_when: str, _direction: str, _step: str, _op: Operation[Any]) -> None:
    """Nothing goes wrong on purpose."""


class StepFailed(Exception):
    """A step on our own rows failed; its transaction was dropped with all that was to be committed with it."""

    def __init__(self, error: PumiceError, line: "Line", position: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.line = line
        self.position = position


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an operation's history."""

    operation_id: str
    step: str
    direction: str
    place: str
    attempt: int
    started_at: datetime
    seconds: float
    outcome: str = "done"
    error: str | None = None

    def row(self) -> dict[str, Any]:
        """As it is stored."""
        return {name: getattr(self, name) for name in self.__slots__}

    def told(self) -> dict[str, Any]:
        """As the log tells it, where the operation is known."""
        names = ("step", "direction", "place", "outcome", "error")
        return {name: getattr(self, name) for name in names} | {"seconds": round(self.seconds, 4)}


class Stopwatch:
    """Times a step and writes its line."""

    def __init__(self, op: Operation[Any], step: str) -> None:
        self.op = op
        self.step = step
        self.started = now()
        self.clock = time.monotonic()

    def line(self) -> Line:
        """The line of a step that ends now."""
        seconds = time.monotonic() - self.clock
        op = self.op
        return Line(op.id, self.step, direction(op), op.place, op.attempt, self.started, seconds)


@dataclass(slots=True)
class Course:
    """The rules of the course, for the worker ``owner`` that serves ``places``."""

    verbs: Mapping[str, Verb[Any]]
    owner: str
    places: Collection[str]
    rules: Rules = field(default_factory=Rules)
    faults: FaultPoint = no_faults
    admits: Callable[[Operation[Any]], bool] = lambda _: True
    """Whether an operation that comes to another of our places may go on there in the same hands."""
    stopping: bool = False
    """Hand everything back at the next step."""

    @in_turn(lambda op, *_: "the choice of pools and hosts" if op.place == SCHEDULER else None)
    def advance(
        self, tx: Transaction, before: Operation[Any], line: Line | None, stop_at: int | None = None
    ) -> Operation[Any]:
        """Pass the step that was done outside (its ``line``), and every step after it that only changes rows.

        Goes no further than the position ``stop_at``. The operation is saved once, whatever was passed.
        """
        verb = self.verbs[before.kind]
        op = replace(before, notes=dict(before.notes))
        lines: list[Line] = []
        if line is not None:
            lines.append(line)
            step_on(op)
        while (step := verb.step(op)) is not None and op.position != stop_at and step.at(op) in self.places:
            ours, outside = step.work(op.state == "undoing")
            if outside is not None:
                break
            if isinstance(step, Wait):
                if not self._children_ended(tx, step, op, lines):
                    op.state = "waiting"
                    break
            elif ours is not None:
                self._change_rows(tx, ours, step.name, op, lines)
            step_on(op)
        self._save(tx, verb, op, lines)
        return op

    def _change_rows(
        self, tx: Transaction, work: Callable[..., None], step: str, op: Operation[Any], lines: list[Line]
    ) -> None:
        watch = Stopwatch(op, step)
        try:
            self.faults("before", direction(op), step, op)
            with bound_contextvars(step=step):
                work(tx, op, self.rules)
            self.faults("after", direction(op), step, op)
        except PumiceError as error:
            raise StepFailed(error, watch.line(), op.position) from error
        except Exception as bug:
            if is_trouble(bug):
                raise
            logger.exception("operation.bug", step=step)
            unexpected = PumiceError(f"'{step}' failed unexpectedly: {type(bug).__name__}: {bug}")
            raise StepFailed(unexpected, watch.line(), op.position) from bug
        lines.append(watch.line())

    def _children_ended(self, tx: Transaction, step: Wait[Any], op: Operation[Any], lines: list[Line]) -> bool:
        watch = Stopwatch(op, step.name)
        children: list[str] = op.notes[step.note]
        ended = step.ended(tx, op)
        for well, error in ended.values():
            if not well and not step.whatever:
                failure = PumiceError(error or "A part of it failed.")
                raise StepFailed(failure, watch.line(), op.position)
        lines.append(replace(watch.line(), outcome="done" if len(ended) == len(children) else "waiting"))
        return len(ended) == len(children)

    def turn_back(
        self, tx: Transaction, before: Operation[Any], line: Line | None, error: PumiceError
    ) -> Operation[Any]:
        """What a failure leads to: another try, another backend, or the undo.

        ``line`` is the failed step's; None when the operation is given up between steps.
        """
        verb = self.verbs[before.kind]
        op = replace(before, notes=dict(before.notes), tries=before.tries + 1)
        step = verb.step(op)
        assert step is not None
        in_time = clock.time() < op.deadline
        trouble = isinstance(error, Trouble) and line is not None
        told = " ".join(filter(None, (str(error), error.detail)))
        lines = [replace(line, outcome="failed", error=told)] if line else []
        if op.state == "undoing" or (
            trouble and op.tries < (self.rules.patience.tries or step.tries) and in_time
        ):
            logger.warning("operation.retry", step=step.name, tries=op.tries, error=str(error))
            op.owner = None
            tx.notify(log.queue_topic(op.place))
            lines = [replace(line, outcome="retry") for line in lines]
            self._write(tx, op, lines, run_at=clock.time() + self.rules.patience.before(op.tries))
            return op
        op.error = str(error)
        if (trouble or isinstance(error, Elsewhere)) and in_time:
            op.resume_at = self._choose_again_at(verb, op)
        op.state = "undoing"
        logger.warning("operation.undo", step=step.name, error=op.error, again=op.resume_at is not None)
        if not in_time and not op.settled:
            verb.failed(tx, op, op.error)
            op.settled = True
            tx.notify(log.ended_topic(op.id))
        self._save(tx, verb, op, lines)
        return op

    def _choose_again_at(self, verb: Verb[Any], op: Operation[Any]) -> int | None:
        """The position of the step before this one that may choose again, as long as it may."""
        choosers = {step.name for step in verb.steps if step.chooses}
        position = next((p for p in range(op.position - 1, -1, -1) if op.steps[p] in choosers), None)
        tried = int(op.notes.get("tried", 0)) + 1
        op.notes |= {"tried": tried, "last_error": op.error}
        if position is None or tried < self.rules.scheduler_max_attempts:
            return position
        reason = (op.error or "").rstrip(".")
        op.error = op.notes["last_error"] = f"{reason}. {tried} backends were tried, and no more are allowed."
        return None

    def _save(self, tx: Transaction, verb: Verb[Any], op: Operation[Any], lines: Iterable[Line]) -> None:
        """Write the position reached: one of the two ends, a step of another place, or a step of ours."""
        op.tries = 0
        finished_at: datetime | None = None
        step = verb.step(op)
        if step is None and op.state == "undoing" and op.resume_at is not None:
            op.state, op.position, op.resume_at, op.error = "running", op.resume_at, None, None
            step = verb.step(op)
        if step is None:
            self._end(tx, verb, op)
            finished_at = now()
        else:
            was_at, op.place = op.place, step.at(op)
            stays = op.place == was_at or (op.place in self.places and self.admits(op))
            if not stays or op.place not in self.places or op.state == "waiting" or self.stopping:
                op.owner = None
                tx.notify(log.queue_topic(op.place))
        self._write(tx, op, lines, finished_at=finished_at)

    def _end(self, tx: Transaction, verb: Verb[Any], op: Operation[Any]) -> None:
        if op.state != "undoing":
            op.state = "done"
        else:
            op.state = "failed"
            if not op.settled:
                verb.failed(tx, op, op.error or "It failed.")
        op.settled, op.owner = True, None
        tx.notify(log.ended_topic(op.id))

    def _write(
        self,
        tx: Transaction,
        op: Operation[Any],
        lines: Iterable[Line],
        *,
        run_at: float = 0.0,
        finished_at: datetime | None = None,
    ) -> None:
        values = {name: getattr(op, name) for name in _SAVED} | {"run_at": run_at}
        if op.owner is None:
            values["lease_until"] = None
        if finished_at is not None:
            values["finished_at"] = finished_at
        op.lines = tuple(lines)
        log.add_lines(tx, [line.row() for line in op.lines])
        parent_id = log.save(tx, op.id, op.attempt, self.owner, values)
        if parent_id and finished_at is not None:
            log.wake_waiting(tx, op.id)

    def give_up_overdue(self, tx: Transaction, at: float) -> int:
        """End, with an explanation, every operation past its deadline that nobody works on. How many.

        What is left to undo stays in the log as a cleaning job for the host that has to do it.
        """
        given_up = 0
        for row in log.overdue(tx, at):
            if (verb := self.verbs.get(row["kind"])) is None:
                continue
            op = from_row(verb, row)
            error = op.error or why_too_late(op)
            op.error, op.settled, op.state, op.resume_at = error, True, "undoing", None
            verb.failed(tx, op, error)
            step = verb.step(op)
            values = {name: getattr(op, name) for name in _SAVED}
            if step is None:
                values |= {"state": "failed", "finished_at": now()}
            else:
                values["place"] = step.at(op)
            log.force(tx, op.id, op.attempt, values | {"owner": None})
            tx.notify(log.ended_topic(op.id))
            if op.parent_id:
                log.wake_waiting(tx, op.id)
            given_up += 1
        return given_up


_SAVED = (
    "notes",
    "deadline",
    "state",
    "position",
    "place",
    "resume_at",
    "error",
    "settled",
    "tries",
    "owner",
)


def step_on(op: Operation[Any]) -> None:
    """One position further in the operation's direction."""
    op.position += -1 if op.state == "undoing" else 1


def direction(op: Operation[Any]) -> str:
    """``do`` or ``undo``."""
    return "undo" if op.state == "undoing" else "do"


def why_too_late(op: Operation[Any]) -> str:
    """What to tell about an operation whose deadline passed."""
    step = op.steps[op.position] if 0 <= op.position < len(op.steps) else "the last step"
    return f"It did not end in time: '{step}' at {op.place} was not done by the deadline."

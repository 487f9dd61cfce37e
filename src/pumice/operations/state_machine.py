"""The transitions of an operation: the transactions between one step outside and the next.

The life of a row (``state`` in the log)::

    running --(step done)--> running … --> done
      |  ^ \\
      |  |  `--(children under way)--> waiting --(a child ended)--> running
      |  |
      |  `--(undone back to a step that may choose again)--.
      `--(failed for good)--> undoing ---------------------'
                                 `--(undone to the beginning)--> failed

Where a step chose where to act, what cannot be undone there at once is handed over to an operation of its own,
which only cleans: the next choice, or the end, waits for none that has failed.

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

from pumice.model.errors import Cancelled, Hangs, PumiceError, Retryable, TryAnotherBackend, Unreadable
from pumice.model.ids import new_id
from pumice.model.tunables import Tunables
from pumice.operations.operation import HANDED_OVER, Operation, Step, Verb, Wait, from_row, stored, verb_of
from pumice.operations.places import SCHEDULER
from pumice.operations.settle import note_trouble, settle, why_too_late, with_trouble
from pumice.store import clock, overdue, work_queue
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import Transaction, is_retryable
from pumice.store.serialize import CHOICE, serialized

logger = structlog.get_logger(__name__)

UNDO_TRIES = 4
"""How often an undo in trouble is tried before it is handed over, where that is possible."""

WENT_ON = (
    "The database was restored from a backup that was made while this was under way. It has gone on since: "
    "what it made or wrote is left as it is."
)
"""How an operation ends that is older in the database than outside."""

FaultPoint = Callable[[str, str, str, Operation[Any]], None]
"""A hook for tests of failures. Told ``before`` or ``after``, ``do`` or ``undo``, step, operation."""


def no_faults(_when: str, _direction: str, _step: str, _op: Operation[Any]) -> None:
    """A fault point at which nothing goes wrong."""


class StepFailed(Exception):
    """A step on our own rows failed; its transaction was dropped with all that was to be committed with it."""

    def __init__(self, error: PumiceError, record: "StepRecord", position: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.record = record
        self.position = position


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A line of an operation's history."""

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
        """The line as a row stores it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def told(self) -> dict[str, Any]:
        """The line as the log tells it of a known operation."""
        names = ("step", "direction", "place", "outcome", "error")
        return {name: getattr(self, name) for name in names} | {"seconds": round(self.seconds, 4)}


class Stopwatch:
    """Times a step and writes its line."""

    def __init__(self, op: Operation[Any], step: str) -> None:
        self.op = op
        self.step = step
        self.started = now()
        self.clock = time.monotonic()

    def record(self) -> StepRecord:
        """The line of a step that ends now."""
        seconds = time.monotonic() - self.clock
        op = self.op
        return StepRecord(op.id, self.step, direction(op), op.place, op.attempt, self.started, seconds)


@dataclass(slots=True)
class StateMachine:
    """The transitions of operations, for the worker ``owner`` that serves ``places``."""

    verbs: Mapping[str, Verb[Any]]
    owner: str
    places: Collection[str]
    tunables: Tunables = field(default_factory=Tunables)
    faults: FaultPoint = no_faults
    admits: Callable[[Operation[Any]], bool] = lambda _: True
    """Whether an operation that comes to another of our places may go on there in the same hands."""
    stopping: bool = False
    """Hand everything back at the next step."""

    @serialized(lambda op, *_: CHOICE if op.place == SCHEDULER else None)
    def advance(
        self, tx: Transaction, before: Operation[Any], record: StepRecord | None, stop_at: int | None = None
    ) -> Operation[Any]:
        """Pass the step that was done outside (its ``record``), and every step after it that only changes rows.

        Goes no further than the position ``stop_at``. The operation is saved once, whatever was passed.
        """
        verb = self.verbs[before.kind]
        if locks := locks_of(verb, before):
            locks(tx, before)
        op = replace(before, notes=dict(before.notes))
        records: list[StepRecord] = []
        if record is not None:
            records.append(record)
            step_on(op)
        while (step := verb.step(op)) is not None and op.position != stop_at and step.at(op) in self.places:
            ours, outside = step.work(op.state == "undoing")
            if outside is not None:
                break
            if isinstance(step, Wait):
                if not self._children_ended(tx, step, op, records):
                    op.state = "waiting"
                    break
            elif ours is not None:
                self._change_rows(tx, ours, step.name, op, records)
            step_on(op)
        self._save(tx, verb, op, records)
        _heed_cancelling(before, op)
        return op

    def _change_rows(
        self,
        tx: Transaction,
        work: Callable[..., None],
        step: str,
        op: Operation[Any],
        records: list[StepRecord],
    ) -> None:
        watch = Stopwatch(op, step)
        try:
            self.faults("before", direction(op), step, op)
            with bound_contextvars(step=step):
                work(tx, op, self.tunables)
            self.faults("after", direction(op), step, op)
        except PumiceError as error:
            raise StepFailed(error, watch.record(), op.position) from error
        except Exception as bug:
            if is_retryable(bug):
                raise
            logger.exception("operation.bug", step=step)
            unexpected = PumiceError(f"'{step}' failed unexpectedly.", f"{type(bug).__name__}: {bug}")
            raise StepFailed(unexpected, watch.record(), op.position) from bug
        records.append(watch.record())

    def _children_ended(
        self, tx: Transaction, step: Wait[Any], op: Operation[Any], records: list[StepRecord]
    ) -> bool:
        watch = Stopwatch(op, step.name)
        children: list[str] = op.notes[step.note]
        ended = step.ended(tx, op)
        for well, error in ended.values():
            if not well and not step.whatever:
                failure = PumiceError(error or "A part of it failed.")
                raise StepFailed(failure, watch.record(), op.position)
        records.append(replace(watch.record(), outcome="done" if len(ended) == len(children) else "waiting"))
        return len(ended) == len(children)

    def turn_back(
        self, tx: Transaction, before: Operation[Any], record: StepRecord | None, error: PumiceError
    ) -> Operation[Any]:
        """What a failure leads to: another try, another backend, or the undo.

        ``record`` is the failed step's; None when the operation is given up between steps.
        """
        verb = self.verbs[before.kind]
        if locks := locks_of(verb, before):
            locks(tx, before)
        op = replace(before, notes=dict(before.notes), tries=before.tries + 1)
        step = verb.step(op)
        assert step is not None
        in_time = clock.time() < op.deadline
        trouble = record is not None and (
            isinstance(error, Retryable) or _waits_for_its_backend(op, step, error)
        )
        undoing = op.state == "undoing"
        leaves = isinstance(error, Hangs) and not undoing and verb.choice_before(op) is not None
        if record is not None and not isinstance(error, Cancelled):  # by which no step fails
            record = replace(record, outcome="failed", error=error.in_full)
        told = error.told if in_time or undoing else with_trouble(op, error.told)
        if not in_time:
            settle(tx, verb, op, op.error if undoing and op.error else told)
            op.resume_at = None
        patient = isinstance(error, Retryable) and op.tries < UNDO_TRIES
        if self.may_hand_over(op) and step.work(True)[1] and not patient:
            self._hand_over(tx, verb, op)
        elif undoing or (
            trouble and not leaves and op.tries < (self.tunables.retry_policy.tries or step.tries) and in_time
        ):
            logger.warning("operation.retry", step=step.name, tries=op.tries, error=error.in_full)
            op.owner = None
            if not undoing:
                note_trouble(op, step.name, error.told)
            tx.notify(work_queue.queue_topic(op.place))
            record = replace(record, outcome="retry") if record else None
            longest = step.longest_pause if isinstance(step, Step) else None
            pause = self.tunables.retry_policy.before(op.tries, cleaning=op.settled, longest=longest)
            self._write(tx, op, [record] if record else [], run_at=clock.time() + pause)
            _heed_cancelling(before, op)
            return op
        else:
            op.error = told
            if (trouble or isinstance(error, TryAnotherBackend)) and in_time:
                op.resume_at = self._choose_again_at(verb, op)
            op.state = "undoing"
            if leaves and self.may_hand_over(op):  # its undo would hang as well
                self._hand_over(tx, verb, op)
            logger.warning(
                "operation.undo", step=step.name, error=error.in_full, again=op.resume_at is not None
            )
        self._save(tx, verb, op, [record] if record else [])
        return op

    def may_hand_over(self, op: Operation[Any]) -> bool:
        """Whether what is being undone follows from a choice: somebody waits for the next one, or the end."""
        undoing = op.state == "undoing" and not op.settled
        return undoing and self.verbs[op.kind].choice_before(op) is not None

    def _hand_over(self, tx: Transaction, verb: Verb[Any], op: Operation[Any]) -> None:
        """Let an operation of its own undo what is left outside of the choice that failed."""
        choice = verb.choice_before(op) or 0
        names = op.steps[choice + 1 : op.position + 1]
        left = [name for name in names if (step := verb.named(name)) and step.work(True)[1]]
        cleaning = replace(
            op, id=new_id(), notes=dict(op.notes), steps=left, position=len(left) - 1, parent_id=op.id
        )
        cleaning.settled, cleaning.settled_at, cleaning.resume_at = True, now(), None
        cleaning.owner, cleaning.cancelled, cleaning.attempt, cleaning.tries = None, False, 0, 0
        log.insert(tx, stored(verb, cleaning, now()) | {"began_number": None})
        op.notes[HANDED_OVER] = left
        logger.warning("operation.cleaning", steps=left, by=cleaning.id)

    def leave(self, tx: Transaction, row: log.Row) -> bool:
        """Hand over the undo of an operation whose place nobody serves, if it had chosen that. It goes on.

        Whatever the place's host may still be about, it is cleaned when that is back. Raises ``Unreadable``.
        """
        verb = verb_of(self.verbs, row)
        op = from_row(verb, row)
        step = verb.step(op)
        if step is None or not self.may_hand_over(op) or not step.work(True)[1]:
            return False
        op.attempt, op.owner = overdue.take(tx, row, self.owner), self.owner
        self._hand_over(tx, verb, op)
        self._save(tx, verb, op, ())
        return True

    def _choose_again_at(self, verb: Verb[Any], op: Operation[Any]) -> int | None:
        """The position of the step before this one that may choose again, as long as it may."""
        position = verb.choice_before(op)
        tried = int(op.notes.get("tried", 0)) + 1
        op.notes |= {"tried": tried, "last_error": op.error}
        if position is None or tried < self.tunables.scheduler_max_attempts:
            return position
        reason = (op.error or "").rstrip(".")
        op.error = op.notes["last_error"] = f"{reason}. {tried} backends were tried, and no more are allowed."
        return None

    def _save(
        self, tx: Transaction, verb: Verb[Any], op: Operation[Any], records: Iterable[StepRecord]
    ) -> None:
        """Write the position reached: one of the two ends, a step of another place, or a step of ours."""
        op.tries = 0
        finished_at: datetime | None = None
        step = verb.step(op)
        if step is None and op.state == "undoing" and op.resume_at is not None:
            op.state, op.position, op.resume_at, op.error = "running", op.resume_at, None, None
            op.notes.pop(HANDED_OVER, None)
            step = verb.step(op)
        if step is None:
            self._end(tx, verb, op)
            finished_at = now()
        else:
            was_at, op.place = op.place, step.at(op)
            stays = op.place == was_at or (op.place in self.places and self.admits(op))
            if not stays or op.place not in self.places or op.state == "waiting" or self.stopping:
                op.owner = None
                tx.notify(work_queue.queue_topic(op.place))
        self._write(tx, op, records, finished_at=finished_at)

    def _end(self, tx: Transaction, verb: Verb[Any], op: Operation[Any]) -> None:
        undone = op.state == "undoing"
        settle(tx, verb, op, (op.error or "It failed.") if undone else None)
        op.state, op.owner = "failed" if undone else "done", None

    def _write(
        self,
        tx: Transaction,
        op: Operation[Any],
        records: Iterable[StepRecord],
        *,
        run_at: float = 0.0,
        finished_at: datetime | None = None,
    ) -> None:
        values = {name: getattr(op, name) for name in _SAVED} | {"run_at": run_at, "unread": None}
        if op.owner is None:
            values["lease_until"] = None
        if finished_at is not None:
            values["finished_at"] = finished_at
        op.records = tuple(records)
        rows = [record.row() for record in op.records]
        if op.settled and len(rows) == 1 and rows[0]["outcome"] == "retry":
            log.repeat_line(tx, rows[0])
        else:
            log.add_lines(tx, rows)
        parent_id, op.cancelled = log.save(tx, op.id, op.attempt, self.owner, values)
        if parent_id and op.settled:
            work_queue.wake_waiting(tx, op.id)

    def leave_as_it_is(self, tx: Transaction, before: Operation[Any]) -> Operation[Any]:
        """End an operation that has gone on since this database was backed up: nothing is done, nor undone.

        So ends what it is a part of, which would undo that.
        """
        op = replace(before, notes=dict(before.notes))
        parent_id = op.parent_id
        while parent_id and (row := log.get(tx, parent_id)) and row["state"] in log.UNDER_WAY:
            verb = verb_of(self.verbs, row)
            parent = from_row(verb, row)
            self._leave(tx, verb, parent)
            self._force(tx, row, {name: getattr(parent, name) for name in _SAVED} | {"finished_at": now()})
            parent_id = parent.parent_id
        self._leave(tx, self.verbs[op.kind], op)
        self._write(tx, op, (), finished_at=now())
        return op

    def _leave(self, tx: Transaction, verb: Verb[Any], op: Operation[Any]) -> None:
        settle(tx, verb, op, WENT_ON)
        op.state, op.resume_at, op.owner = "failed", None, None

    def give_up(self, tx: Transaction, operation_id: str, at: float, why: str | None = None) -> bool:
        """End, with an explanation, an operation past its deadline that nobody else ends. False if it is not.

        With ``why`` its time is over now. What is left to undo stays in the log as cleaning for the host that
        has to do it; nothing is left there where nobody has begun. Raises ``Unreadable``.
        """
        if why is not None:
            overdue.hasten(tx, operation_id, at)
        if (row := overdue.get(tx, operation_id, at)) is None:
            return False
        verb = verb_of(self.verbs, row)
        op = from_row(verb, row)
        undoing = op.state == "undoing"
        settle(tx, verb, op, op.error if undoing and op.error else why or why_too_late(op))
        if log.is_untouched(tx, op.id) and not _takes_away(
            verb, op
        ):  # so there is nothing to undo of this step
            op.position -= 1
        op.state, op.resume_at, op.owner = "undoing", None, None
        values: dict[str, Any] = {}
        try:
            step = verb.step(op)
            if step is None:
                op.state, values["finished_at"] = "failed", now()
            else:
                op.place = step.at(op)
        except Unreadable as error:  # what is left to undo waits for a version that knows it
            values["unread"] = str(error)
        self._force(tx, row, {name: getattr(op, name) for name in _SAVED} | values)
        return True

    def give_up_unread(self, tx: Transaction, operation_id: str, at: float, why: str) -> log.Row | None:
        """Give up an operation that this version cannot read: only its row says that it failed."""
        if (row := overdue.get(tx, operation_id, at)) is None:
            return None
        error = row["error"] or "It did not end in time, and this version of Pumice cannot go on with it."
        told = {"state": "undoing", "settled": True, "settled_at": now(), "error": error}
        self._force(tx, row, told | {"resume_at": None, "owner": None, "unread": why})
        tx.notify(log.ended_topic(operation_id))
        return row

    def _force(self, tx: Transaction, row: log.Row, values: Mapping[str, Any]) -> None:
        """Write an operation's row over whoever is stuck with it; it is taken up when that lease has ended."""
        held_until = min(row["lease_until"] or 0.0, clock.time() + overdue.STUCK_SECONDS)
        values = {**values, "run_at": held_until}
        log.force(tx, row["id"], row["attempt"], values)
        if row["parent_id"]:
            work_queue.wake_waiting(tx, row["id"])


_SAVED = (
    "notes",
    "deadline",
    "state",
    "position",
    "place",
    "resume_at",
    "error",
    "settled",
    "settled_at",
    "tries",
    "owner",
)


def step_on(op: Operation[Any]) -> None:
    """Move one position further in the operation's direction."""
    op.position += -1 if op.state == "undoing" else 1


def _takes_away(verb: Verb[Any], op: Operation[Any]) -> bool:
    """Whether the step in hand takes away what is there before it: its undo is about that, begun or not."""
    step = verb.named(op.steps[op.position]) if 0 <= op.position < len(op.steps) else None
    return isinstance(step, Step) and step.takes_away


def _waits_for_its_backend(op: Operation[Any], step: Step[Any] | Wait[Any], error: PumiceError) -> bool:
    """Whether what takes something away goes on until its backend can: nobody asked, who would ask again."""
    removes = isinstance(step, Step) and step.takes_away
    return removes and isinstance(error, TryAnotherBackend) and op.request_id is None


def locks_of(verb: Verb[Any], op: Operation[Any]) -> Callable[[Transaction, Operation[Any]], None] | None:
    """What a transaction that carries it on begins with, to be right row by row; None: it is SERIALIZABLE."""
    return None if op.place == SCHEDULER else verb.locks


def _heed_cancelling(before: Operation[Any], after: Operation[Any]) -> None:
    """Raises ``Cancelled`` if that was asked for meanwhile, which drops the transaction.

    So it turns back before whatever that passed, not after it.
    """
    if after.cancelled and not before.cancelled and before.state == "running":
        raise Cancelled


def direction(op: Operation[Any]) -> str:
    """``do`` or ``undo``."""
    return "undo" if op.state == "undoing" else "do"

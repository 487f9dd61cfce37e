"""The runner: it claims operations and acts outside; ``state_machine`` does the transactions.

One carry of one operation: as long as its next step belongs here, act outside without a transaction, then in
ONE transaction write the step's line, run every following step that only changes rows, and save the position.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from pumice.host.bulkhead import Bulkhead
from pumice.model.errors import (
    Cancelled,
    Hangs,
    LostLease,
    NoValidBackend,
    PumiceError,
    Retryable,
    Unreadable,
    in_full,
)
from pumice.model.metrics_sink import MetricsSink
from pumice.model.tunables import Tunables
from pumice.operations.drivers import Drivers
from pumice.operations.leases import SILENT_SECONDS, Leases
from pumice.operations.left_calls import LeftCalls
from pumice.operations.operation import Operation, Outside, Step, Verb, Wait, from_row, verb_of
from pumice.operations.places import SCHEDULER
from pumice.operations.settle import why_not_read, why_too_late
from pumice.operations.shares import Shares
from pumice.operations.state_machine import (
    FaultPoint,
    StateMachine,
    StepFailed,
    StepRecord,
    Stopwatch,
    direction,
    locks_of,
    no_faults,
)
from pumice.store import clock, overdue, work_queue
from pumice.store import operations as log
from pumice.store.columns import now
from pumice.store.database import MISSED, Database
from pumice.store.serialize import row_by_row
from pumice.store.witness import ANSWER_SECONDS, Witnesses

logger = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
WORKERS = 32
"""How many operations are carried at once at each place: one that hangs holds its own workers alone."""
INTERRUPTED_SECONDS = 5.0
"""Seconds after which to look again at what the database did not let us carry on."""
HASTE_SECONDS = 5.0
"""How long an undo may take for which the next choice waits; then it is handed over."""
OPENING_SECONDS = 0.25
"""Seconds after which to look again for a backend while our own are being started."""
SOON_SECONDS = 1.0
"""Seconds after which to look again while others hold operations of our places, or the database is down."""
NEW_SECONDS = 60.0
"""What was asked for so long after the database was last found is surely not out of a backup."""


class Runner:
    """The worker of one process. It serves a set of places, with ``workers`` for each (``shares.py``).

    Several runners may share one log.
    """

    def __init__(
        self,
        db: Database,
        verbs: Iterable[Verb[Any]],
        drivers: Drivers,
        *,
        host: str,
        boot: str,
        places: Collection[str],
        tunables: Tunables | None = None,
        workers: int = WORKERS,
        lease: float = LEASE_SECONDS,
        silence: float = SILENT_SECONDS,
        faults: FaultPoint = no_faults,
        metrics: MetricsSink | None = None,
        witnesses: Witnesses | None = None,
    ) -> None:
        self.db = db
        self.witnesses = witnesses
        """What is known of the log beside it; without them nothing tells that the database is older."""
        self._found_at = now()
        """When the database was last found: it may be a restored one."""
        self.drivers = drivers
        self.host = host
        self.owner = f"{host}:{boot}"
        self.places = set(places)
        self.state_machine = StateMachine(
            {verb.kind: verb for verb in verbs},
            self.owner,
            self.places,
            tunables or Tunables(),
            faults,
        )
        self.leases = Leases(db, self.owner, lease, silence)
        self.shares = Shares(self.leases, workers)
        self.state_machine.admits = self._admits
        self.metrics = metrics or MetricsSink()
        self.alive_at = time.monotonic()
        """When the loop last came round, on the monotonic clock: every ``db.poll_seconds`` unless it hangs."""
        self.opening = set[str]()
        """Places of this process whose drivers are just starting: what finds no backend waits for them."""
        self._topics = {work_queue.queue_topic(place): place for place in places}
        self._wake = asyncio.Event()
        self._look_at = 0.0
        """When to look into the log next, on the monotonic clock."""
        self._looks = 0
        """How often that was done."""
        self._called = set(places)
        """The places where there is probably something to claim."""
        self._left_calls = LeftCalls(db, self.owner, drivers.bulkheads, lambda: self._call(self.places))
        drivers.bulkheads.on_away = self._call_if_room

    # --- the loop -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry operations until ``stop()``; then hand back what is left, each after the step in hand."""
        unsubscribe = self.db.subscribe(self._on_notify)
        if self.witnesses:
            self.witnesses.open()
        try:
            await self.db.hold(self.owner, lambda: None)  # nobody else has a name like ours
            freed = await self.db.write(work_queue.release_earlier, self.host, self.owner)
            if freed:
                logger.info("operations.recovered", count=freed, host=self.host)
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self.leases.keep())
                while not self.state_machine.stopping or self.taken:
                    self._wake.clear()
                    self.alive_at = time.monotonic()
                    if not self.state_machine.stopping and time.monotonic() >= self._look_at:
                        for row in await self._look():
                            tasks.create_task(self._carry_row(row))
                    await self._sleep()
                keeper.cancel()
        finally:
            unsubscribe()
            if self.witnesses:
                self.witnesses.close()

    def has_tried(self, place: str) -> None:
        """Note that a place's driver has started, or could not at the first try."""
        self.opening.discard(place)
        self._call(self.places)

    def open(self, place: str) -> None:
        """Serve one place more."""
        self.places.add(place)
        self._topics[work_queue.queue_topic(place)] = place
        self._call([place])

    def stop(self) -> None:
        """Claim no more; end after the steps in hand."""
        self.state_machine.stopping = True
        self._wake.set()

    def _on_notify(self, topic: str) -> None:
        if topic == MISSED:
            self.leases.trust_all()
            self._found_at = now()
        if place := self._topics.get(topic):
            self._call([place])
        elif topic in (MISSED, work_queue.QUEUE):
            self._call(self.places)
        elif topic.startswith(log.CANCELLED):
            self.leases.cancel(topic.rpartition(" ")[2])

    def _call(self, places: Iterable[str]) -> None:
        """Have the places looked at: there is probably something to claim."""
        self._called.update(places)
        self._look_at = 0.0
        self._wake.set()

    def _call_if_room(self, place: str) -> None:
        """Have a place looked at, a worker of which has become free."""
        if self.shares.has_room_again(place):
            self._call([place])

    @property
    def taken(self) -> int:
        """How many operations are in hand."""
        return len(self.leases.held)

    @property
    def fullest(self) -> int:
        """How many are in hand at the place that has the most."""
        return max((len(self.leases.at(place)) for place in self.places), default=0)

    def _admits(self, op: Operation[Any]) -> bool:
        """Whether an operation in hand that comes to another place of ours may go on there at once."""
        return not self._is_fenced(op) and self.shares.move(op)

    def _is_fenced(self, op: Operation[Any]) -> bool:
        bulkheads = self.drivers.bulkheads
        if op.place == SCHEDULER or next(bulkheads.left, None) is None:
            return False
        held = self.state_machine.verbs[op.kind].holds(op)
        things = {op.subject, *(hold.id for hold in held)}
        return bulkheads.is_about(things, op.place, op.notes.get("pool")) or bulkheads.is_full(op.place)

    async def _look(self) -> Sequence[log.Row]:
        """Claim something where it was called for, never so much that one kind has every free worker.

        A claim is tried if there is something to claim: to look costs the database less, and meets nobody.
        """
        open_places = [
            place
            for place in self.places
            if self.shares.free(place) > 0 and not self.drivers.bulkheads.is_full(place)
        ]
        called, self._called = self._called & set(open_places), set()
        at, asked = clock.time(), time.monotonic()
        self._look_at = asked + self.db.poll_seconds
        self._looks += 1
        rows: Sequence[log.Row] = []
        try:
            seen = await self.db.read(work_queue.look, self.shares.whole(open_places), at)
            outlook = seen.outlook(self.owner, seen.is_runnable)
            if not called and outlook.soonest <= at:
                called = set(open_places)
            shares = self.shares.promise(sorted(called))
            if seen.has(shares):
                rows, outlook = await self.db.write(
                    work_queue.claim_shares, shares, seen, self.owner, at, self.leases.seconds
                )
            self.shares.take(rows, asked)
            if outlook.holders:
                self._look_at = min(self._look_at, time.monotonic() + SOON_SECONDS)
                await self.leases.free_what_the_dead_hold(outlook.holders)
            if rows and outlook.soonest <= at:  # there is more
                self._called |= called
            is_locked = outlook.soonest <= at and not rows
            wait = SOON_SECONDS if is_locked else max(outlook.soonest - clock.time(), 0.0)
            self._look_at = min(self._look_at, time.monotonic() + wait)
        except Exception as error:  # whatever a row holds: the others are looked for again
            bug = None if isinstance(error, Retryable) else error
            logger.warning("operations.claim_failed", error=in_full(error), exc_info=bug)
            self._called, self._look_at = set(self.places), time.monotonic() + SOON_SECONDS
            self.shares.take([], asked)
        return rows

    async def _sleep(self) -> None:
        """Sleep until a commit wakes us, a retry's time has come, or at last the poll's."""
        seconds = self.db.poll_seconds if self.state_machine.stopping else self._look_at - time.monotonic()
        if seconds > 0:
            # not wait_for: on Python 3.11 it swallows a cancellation that comes together with the event
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _carry_row(self, row: log.Row) -> None:
        """Carry one claimed row. Whatever goes wrong with our own machinery, the row stays runnable."""
        is_left, has_ended = True, False
        try:
            op = from_row(verb_of(self.state_machine.verbs, row), row)
            op = await self.carry(op)
            has_ended = op.state in ("done", "failed")
            is_left = not has_ended and op.place in self.places
        except LostLease as error:
            self.metrics.lease_lost(row["kind"])
            logger.warning("operation.lease_lost", operation=row["id"], error=in_full(error))
        except Exception as error:
            await self._put_aside(row, error)
        finally:
            # No look sees what is in hand, not even one that followed the commit by which it was put down: it
            # may be back. And what was left alone because there was no room for it may have its turn now.
            lease = self.leases.held.pop(row["id"])
            is_left |= not has_ended and lease.looks != self._looks
            if is_left or self.shares.has_room_again(lease.place):
                self._call([lease.place])
            self._wake.set()

    async def _put_aside(self, row: log.Row, error: Exception) -> None:
        """Leave alone for a while what our own machinery cannot carry on, and say why."""
        fence = row["id"], row["attempt"]
        with contextlib.suppress(Retryable):
            if isinstance(error, Retryable):
                logger.warning("operation.interrupted", operation=row["id"], error=in_full(error))
                await self.db.write(work_queue.release, *fence, clock.time() + INTERRUPTED_SECONDS)
                return
            why = why_not_read(error)
            pause = self.shares.aside.put(row["id"])
            bug = None if isinstance(error, Unreadable) else error
            logger.error("operation.unread", operation=row["id"], why=why, pause=pause, exc_info=bug)
            self.metrics.unread(row["kind"])
            await self.db.write(overdue.put_aside, *fence, why)

    async def _went_on(self, op: Operation[Any]) -> bool:
        """Whether it was carried further than the database knows, and that must not be done again."""
        began = self.leases.held[op.id].began
        is_new = began > self._found_at + timedelta(seconds=NEW_SECONDS)
        if self.witnesses is None or is_new or self.state_machine.verbs[op.kind].spares_bytes:
            return False
        left = ANSWER_SECONDS if op.settled else op.deadline - clock.time()
        seconds = min(max(left, SOON_SECONDS), ANSWER_SECONDS)
        line = await self.witnesses.last_line(op.place, op.id, began, seconds)
        return line is not None and not await self.db.read(log.has_line, op.id, datetime.fromisoformat(line))

    async def _leave(self, op: Operation[Any]) -> Operation[Any]:
        logger.error("operation.went_on", operation=op.id, kind=op.kind, subject=op.subject)
        return await self._save(self.state_machine.leave_as_it_is, op)

    # --- one operation --------------------------------------------------------------------------

    async def carry(self, op: Operation[Any]) -> Operation[Any]:
        """Run the operation's steps for as long as they are ours. Returns it as it was saved last."""
        asked_at = None
        with bound_contextvars(operation=op.id, kind=op.kind, request_id=op.request_id, attempt=op.attempt):
            while op.owner == self.owner:
                self.leases.held[op.id].op = op
                if op.place != asked_at and await self._went_on(op):
                    return await self._leave(op)
                asked_at = op.place
                op = await self._next(op)
                if op.owner == self.owner and self._is_fenced(op):  # nothing more is done about it for now
                    await self.db.write(work_queue.release, op.id, op.attempt, 0.0)
                    break
        return op

    async def _next(self, op: Operation[Any]) -> Operation[Any]:
        """Do the step outside that is due, if any, and the transaction that follows it."""
        if op.state == "running":
            if op.cancelled:
                return await self._turn_back(op, None, Cancelled())
            if clock.time() > op.deadline:
                return await self._turn_back(op, None, PumiceError(why_too_late(op)))
        step = self.state_machine.verbs[op.kind].step(op)
        outside = step.work(op.state == "undoing")[1] if step else None
        watch = None
        if step is not None and outside is not None:
            watch = Stopwatch(op, step.name)
            error = await self._act(outside, step, op)
            if error is not None:
                failed = watch.record()
                if isinstance(error, Cancelled):
                    op.cancelled, failed = True, replace(failed, outcome="failed", error=error.in_full)
                return await self._turn_back(op, failed, error)
        record = watch.record() if watch else None
        try:
            try:
                return await self._save(self.state_machine.advance, op, record)
            except StepFailed as bad:
                if record is not None or bad.position != op.position:  # keep what came before it
                    op, record = await self._save(self.state_machine.advance, op, record, bad.position), None
                if (self.opening or self.state_machine.stopping) and isinstance(bad.error, NoValidBackend):
                    await self.db.write(work_queue.release, op.id, op.attempt, clock.time() + OPENING_SECONDS)
                    return replace(op, owner=None)
                return await self._turn_back(op, bad.record, bad.error)
        except Cancelled as error:
            op.cancelled = True
            return await self._turn_back(op, record, error)

    async def _act(
        self, work: Outside[Any], step: Step[Any] | Wait[Any], op: Operation[Any]
    ) -> PumiceError | None:
        """Do (or undo) one step outside, within its time. Returns what went wrong."""
        name, seconds, hasty = step.name, step.timeout, self.state_machine.may_hand_over(op)
        is_long = op.state == "running" and step.long
        elsewhere = self.state_machine.verbs[op.kind].choice_before(op) is not None
        silence = self.leases.silence if is_long and elsewhere else inf
        if hasty:
            seconds = min(seconds, HASTE_SECONDS)
        if not op.settled:  # at its deadline, if not before, it is told how it ended
            seconds = max(min(seconds, op.deadline - clock.time()), 0.001)
        bulkhead, within = self.drivers.bulkheads.at(op.place), list[Bulkhead]()
        self.leases.held[op.id].within = within
        try:
            self.state_machine.faults("before", direction(op), name, op)
            acting = self.leases.acting(op, seconds, is_long=is_long, silence=silence)
            with bound_contextvars(step=name), acting as limit:
                await bulkhead.call(
                    name,
                    lambda: work(op, self.drivers),
                    limit,
                    about=op.subject,
                    operation_id=op.id,
                    pool=op.notes.get("pool"),
                    within=within,
                )
            self.state_machine.faults("after", direction(op), name, op)
        except TimeoutError:
            late = await self._too_slow(name, seconds, op)
            return PumiceError(str(late)) if hasty else late
        except LostLease:
            raise
        except PumiceError as error:
            return error
        except Exception as bug:  # a driver's bug must not strand the operation: it is undone and explained
            logger.exception("operation.bug", step=name)
            return Retryable(f"'{name}' failed unexpectedly.", f"{type(bug).__name__}: {bug}")
        return None

    async def _too_slow(self, step: str, seconds: float, op: Operation[Any]) -> Retryable:
        """What to tell of a step that did not end. Before anything else, everybody knows if it still hangs."""
        late = f"'{step}' did not end within {seconds:g} seconds"
        lease = self.leases.held[op.id]
        if lease.silent_until < min(lease.limit, time.monotonic()):
            late = f"'{step}' told of no progress for {lease.silence:g} seconds"
        pool = op.notes.get("pool")
        if left := next(
            (it for it in self.drivers.bulkheads.left if (it.operation_id, it.pool) == (op.id, pool)), None
        ):
            await self._left_calls.is_told(left)
            return Hangs(f"{late}, and its call hangs: nothing more is done until it is back.")
        return Retryable(f"{late}.")

    async def _turn_back(
        self, op: Operation[Any], record: StepRecord | None, error: PumiceError
    ) -> Operation[Any]:
        try:
            return await self._save(self.state_machine.turn_back, op, record, error)
        except Cancelled as cancelled:  # instead of another try
            op.cancelled = True
            record = replace(record, outcome="failed", error=error.in_full) if record else None
            return await self._save(self.state_machine.turn_back, op, record, cancelled)

    async def _save(
        self, state_machine: Callable[..., Operation[Any]], before: Operation[Any], *args: Any
    ) -> Operation[Any]:
        """Commit one transaction of the state machine. What happened is counted once it is committed."""
        was_at = before.place
        if lease := self.leases.held.get(before.id):
            lease.looks = self._looks
        if locks_of(self.state_machine.verbs[before.kind], before):
            state_machine = row_by_row(partial(state_machine))
        after = await self.db.write(state_machine, before, *args)
        spares = self.state_machine.verbs[after.kind].spares_bytes
        if self.witnesses and not spares and after.records and not _is_retried(after.records[-1]):
            self.witnesses.note(was_at, after.id, after.records[-1].started_at.isoformat())
        for record in after.records:
            self.metrics.step(after.kind, record.step, record.direction, record.outcome, record.seconds)
            logger.debug("operation.step", **record.told())
        if after.state != before.state:
            self.metrics.moved(after.kind, after.state)
            if after.state in ("done", "failed"):
                logger.info("operation.ended", state=after.state, subject=after.subject)
        if after.settled and not before.settled and after.state == "undoing":
            self.metrics.given_up()
        return after


def _is_retried(record: StepRecord) -> bool:
    """Whether the next try may take the place of a line."""
    return record.outcome == "retry"

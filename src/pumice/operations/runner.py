"""Who carries operations out: claims rows of the log, acts outside, and lets ``course`` do the transactions.

One carry of one operation: as long as its next step belongs here, act outside without a transaction, then in
ONE transaction write the step's line, run every following step that only changes rows, and save the position.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from pumice.model.errors import LostLease, PumiceError, Trouble
from pumice.model.meter import Meter
from pumice.model.rules import Rules
from pumice.operations.course import (
    Course,
    FaultPoint,
    StepFailed,
    Stopwatch,
    direction,
    no_faults,
    why_too_late,
)
from pumice.operations.hands import Hands
from pumice.operations.leases import Leases
from pumice.operations.operation import Operation, Outside, Verb, from_row
from pumice.store import operations as log
from pumice.store.database import MISSED, Database

logger = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
WORKERS = 32
INTERRUPTED_SECONDS = 5.0
"""When to look again at what our own machinery could not carry on."""
SOON_SECONDS = 1.0
"""When to look again while others hold operations of our places, or the database does not answer."""
CROWD = 3
"""A kind that holds more than this many times the free workers gets no more: some are left for other kinds."""


class Runner:
    """The worker of one process. It serves a set of places; several runners may share one log."""

    def __init__(
        self,
        db: Database,
        verbs: Iterable[Verb[Any]],
        hands: Hands,
        *,
        host: str,
        boot: str,
        places: Collection[str],
        rules: Rules | None = None,
        workers: int = WORKERS,
        lease: float = LEASE_SECONDS,
        faults: FaultPoint = no_faults,
        meter: Meter | None = None,
    ) -> None:
        self.db = db
        self.hands = hands
        self.host = host
        self.owner = f"{host}:{boot}"
        self.course = Course(
            {verb.kind: verb for verb in verbs},
            self.owner,
            frozenset(places),
            rules or Rules(),
            faults,
        )
        self.workers = workers
        self.leases = Leases(db, self.owner, lease)
        self.meter = meter or Meter()
        self.alive_at = time.monotonic()
        """When the loop last came round, on the monotonic clock: every ``db.poll_seconds`` unless it hangs."""
        self._topics = {log.QUEUE, MISSED, *map(log.queue_topic, places)}
        self._wake = asyncio.Event()
        self._look_at = 0.0
        """When to look into the log again, on the monotonic clock."""
        self._called = True
        """Whether there is probably something to claim."""

    # --- the loop -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry operations until ``stop()``; then hand back what is left, each after the step in hand."""
        unsubscribe = self.db.subscribe(self._on_notify)
        try:
            await self.db.hold(self.owner, lambda: None)  # nobody else has a name like ours
            freed = await self.db.write(log.release_earlier, self.host, self.owner)
            if freed:
                logger.info("operations.recovered", count=freed, host=self.host)
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self.leases.keep())
                while not self.course.stopping or self.taken:
                    self._wake.clear()
                    self.alive_at = time.monotonic()
                    if self._free() and not self.course.stopping and time.monotonic() >= self._look_at:
                        for row in await self._look():
                            self.leases.take(row)
                            tasks.create_task(self._carry_row(row))
                    await self._sleep()
                keeper.cancel()
        finally:
            unsubscribe()

    def stop(self) -> None:
        """Claim no more; end after the steps in hand."""
        self.course.stopping = True
        self._wake.set()

    def _on_notify(self, topic: str) -> None:
        if topic == MISSED:
            self.leases.trust_all()
        if topic in self._topics:
            self._call()

    def _call(self) -> None:
        """There is probably something to claim."""
        self._called, self._look_at = True, 0.0
        self._wake.set()

    @property
    def taken(self) -> int:
        """How many operations are in hand."""
        return len(self.leases.held)

    def _free(self) -> int:
        return self.workers - self.taken

    def _crowds(self) -> list[str]:
        """Kinds that get no more for now: a flood of one never makes the others wait for its end."""
        return [kind for kind, taken in self.leases.kinds().items() if taken > CROWD * self._free()]

    async def _look(self) -> Sequence[log.Row]:
        """Claim something, never so much that one kind has every free worker.

        When nothing called, and it is only time to look again, a claim is tried if there is something to claim:
        to look costs the database less.
        """
        called, self._called = self._called, False
        at = time.time()
        self._look_at = time.monotonic() + self.db.poll_seconds
        asked = log.Asked(self.course.places, self.owner, self._crowds(), tuple(self.leases.held))
        rows: Sequence[log.Row] = []
        try:
            if not called:
                outlook = await self.db.read(log.outlook, asked)
                called = outlook.soonest <= at
            if called:
                most = -(-self._free() // (CROWD + 1))
                rows, outlook = await self.db.write(log.claim, asked, at, self.leases.seconds, most)
            if outlook.holders:
                self._look_at = min(self._look_at, time.monotonic() + SOON_SECONDS)
                await self.leases.free_what_the_dead_hold(outlook.holders)
            is_locked = outlook.soonest <= at and not rows
            wait = SOON_SECONDS if is_locked else max(outlook.soonest - time.time(), 0.0)
            self._look_at = min(self._look_at, time.monotonic() + wait)
        except Trouble as error:
            logger.warning("operations.claim_failed", error=str(error))
            self._called, self._look_at = True, time.monotonic() + SOON_SECONDS
        return rows

    async def _sleep(self) -> None:
        """Until a commit wakes us, a retry's time has come, or at last the poll's."""
        full = not self._free() or self.course.stopping
        seconds = self.db.poll_seconds if full else self._look_at - time.monotonic()
        if seconds > 0:
            # not wait_for: on Python 3.11 it swallows a cancellation that comes together with the event
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _carry_row(self, row: log.Row) -> None:
        """Carry one claimed row. Whatever goes wrong with our own machinery, the row stays runnable."""
        has_ended = False
        try:
            op = await self.carry(from_row(self.course.verbs[row["kind"]], row))
            has_ended = op.state in ("done", "failed")
        except LostLease as error:
            self.meter.lease_lost(row["kind"])
            logger.warning("operation.lease_lost", operation=row["id"], error=str(error))
        except Exception:
            logger.exception("operation.interrupted", operation=row["id"])
            with contextlib.suppress(Trouble):
                await self.db.write(log.release, row["id"], row["attempt"], time.time() + INTERRUPTED_SECONDS)
        finally:
            # No look sees what is in hand, not even the one that followed the commit by which it was put down.
            # And what was left alone because its kind crowds may have its turn now.
            if not has_ended or self._crowds():
                self._call()
            del self.leases.held[row["id"]]
            self._wake.set()

    # --- one operation --------------------------------------------------------------------------

    async def carry(self, op: Operation[Any]) -> Operation[Any]:
        """Run the operation's steps for as long as they are ours. Returns it as it was saved last."""
        with bound_contextvars(operation=op.id, kind=op.kind, request_id=op.request_id, attempt=op.attempt):
            while op.owner == self.owner:
                self.leases.held[op.id].op = op
                op = await self._next(op)
        return op

    async def _next(self, op: Operation[Any]) -> Operation[Any]:
        """One step outside, if one is due, and the transaction that follows it."""
        if op.state == "running":
            if op.cancelled:
                return await self._turn_back(op, None, PumiceError("The operation was cancelled."))
            if time.time() > op.deadline:
                return await self._turn_back(op, None, PumiceError(why_too_late(op)))
        step = self.course.verbs[op.kind].step(op)
        outside = step.work(op.state == "undoing")[1] if step else None
        watch = None
        if step is not None and outside is not None:
            watch = Stopwatch(op, step.name)
            error = await self._act(outside, step.name, step.timeout, op)
            if error is not None:
                return await self._turn_back(op, watch, error)
        line = watch.line() if watch else None
        try:
            return await self._save(self.course.advance, op, line)
        except StepFailed as failed:
            if line is not None or failed.position != op.position:  # keep what came before it
                op = await self._save(self.course.advance, op, line, failed.position)
            return await self._save(self.course.turn_back, op, failed.line, failed.error)

    async def _act(
        self, work: Outside[Any], step: str, seconds: float, op: Operation[Any]
    ) -> PumiceError | None:
        """Do (or undo) one step outside, within its time. Returns what went wrong."""
        if op.state == "running":
            seconds = max(min(seconds, op.deadline - time.time()), 0.001)
        try:
            self.course.faults("before", direction(op), step, op)
            with bound_contextvars(step=step):
                async with self.leases.acting(op, seconds):
                    await work(op, self.hands)
            self.course.faults("after", direction(op), step, op)
        except TimeoutError:
            return Trouble(f"'{step}' did not end within {seconds:g} seconds.")
        except LostLease:
            raise
        except PumiceError as error:
            return error
        except Exception as bug:  # a driver's bug must not strand the operation: it is undone and explained
            logger.exception("operation.bug", step=step)
            return Trouble(f"'{step}' failed unexpectedly: {type(bug).__name__}: {bug}")
        return None

    async def _turn_back(
        self, op: Operation[Any], watch: Stopwatch | None, error: PumiceError
    ) -> Operation[Any]:
        return await self._save(self.course.turn_back, op, watch.line() if watch else None, error)

    async def _save(
        self, course: Callable[..., Operation[Any]], before: Operation[Any], *args: Any
    ) -> Operation[Any]:
        """One transaction of the course. What happened is counted once it is committed."""
        after = await self.db.write(course, before, *args)
        for line in after.lines:
            self.meter.step(after.kind, line.step, line.direction, line.outcome, line.seconds)
            logger.debug("operation.step", **line.told())
        if after.state != before.state:
            self.meter.moved(after.kind, after.state)
            if after.state in ("done", "failed"):
                logger.info("operation.ended", state=after.state, subject=after.subject)
        if after.settled and not before.settled and after.state == "undoing":
            self.meter.given_up()
        return after

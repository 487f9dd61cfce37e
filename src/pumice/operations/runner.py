"""Who carries operations out: claims rows of the log, acts outside, and lets ``course`` do the transactions.

One carry of one operation: as long as its next step belongs here, act outside without a transaction, then in
ONE transaction write the step's line, run every following step that only changes rows, and save the position.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from pumice.host.bulkhead import Left
from pumice.model.errors import LostLease, NoValidBackend, PumiceError, Trouble
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
from pumice.operations.places import SCHEDULER
from pumice.store import clock, hanging
from pumice.store import operations as log
from pumice.store.database import MISSED, Database, Transaction

logger = structlog.get_logger(__name__)

LEASE_SECONDS = 30.0
WORKERS = 32
"""How many operations are carried at once at each place: one that hangs holds its own workers alone."""
INTERRUPTED_SECONDS = 5.0
"""When to look again at what our own machinery could not carry on."""
OPENING_SECONDS = 0.25
"""When to look again for a backend while our own are being started."""
SOON_SECONDS = 1.0
"""When to look again while others hold operations of our places, or the database does not answer."""
CROWD = 3
"""A kind that holds more than this many times a place's free workers gets no more: some are left for others."""


class Runner:
    """The worker of one process. It serves a set of places; several runners may share one log.

    Each place has ``workers`` of its own. They are shared by kind and by project: whoever holds much at a place
    gets no more for now, and who has little there comes first.
    """

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
        self.places = set(places)
        self.course = Course(
            {verb.kind: verb for verb in verbs},
            self.owner,
            self.places,
            rules or Rules(),
            faults,
        )
        self.course.admits = self._admits
        self.workers = workers
        self.leases = Leases(db, self.owner, lease)
        self.meter = meter or Meter()
        self.alive_at = time.monotonic()
        """When the loop last came round, on the monotonic clock: every ``db.poll_seconds`` unless it hangs."""
        self.opening = set[str]()
        """Places of this process whose drivers are just starting: what finds no backend waits for them."""
        self._topics = {log.queue_topic(place): place for place in places}
        self._wake = asyncio.Event()
        self._look_at = 0.0
        """When to look into the log again, on the monotonic clock."""
        self._called = set(places)
        """Where there is probably something to claim."""
        self._crowded = set[str]()
        """Where something was left alone at the last look: it may have its turn when another has ended."""
        self._telling: dict[str, asyncio.Task[None]] = {}
        """Calls that hang, by id, while the log is told so."""
        hands.bulkheads.on_left = self._on_left
        hands.bulkheads.on_back = self._on_back

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
                    if not self.course.stopping and time.monotonic() >= self._look_at:
                        for row in await self._look():
                            tasks.create_task(self._carry_row(row))
                    await self._sleep()
                keeper.cancel()
        finally:
            unsubscribe()

    def has_tried(self, place: str) -> None:
        """A place's driver has started, or could not at the first try."""
        self.opening.discard(place)
        self._call(self.places)

    def open(self, place: str) -> None:
        """Serve one place more."""
        self.places.add(place)
        self._topics[log.queue_topic(place)] = place
        self._call([place])

    def stop(self) -> None:
        """Claim no more; end after the steps in hand."""
        self.course.stopping = True
        self._wake.set()

    def _on_notify(self, topic: str) -> None:
        if topic == MISSED:
            self.leases.trust_all()
        if place := self._topics.get(topic):
            self._call([place])
        elif topic in (MISSED, log.QUEUE):
            self._call(self.places)

    def _call(self, places: Iterable[str]) -> None:
        """There is probably something to claim."""
        self._called.update(places)
        self._look_at = 0.0
        self._wake.set()

    @property
    def taken(self) -> int:
        """How many operations are in hand."""
        return len(self.leases.held)

    def _free(self, place: str) -> int:
        """How many workers of a place have nothing to do; who waits for a turn keeps none busy."""
        return self.workers - sum(it.waiting_since is None for it in self.leases.at(place))

    def _share(self, place: str) -> log.Asked:
        """What is wanted of a place. A flood never makes the others wait for its end, nor one that hangs."""
        held, free = self.leases.at(place), self._free(place)
        kinds, projects = Counter(it.kind for it in held), Counter(it.project for it in held if it.project)
        even = projects.total() / max(len(projects), 1)
        return log.Asked(
            [place],
            self.owner,
            kinds=[kind for kind, number in kinds.items() if number > CROWD * free],
            projects=[project for project, number in projects.items() if number > free],
            busy=[project for project, number in projects.items() if number >= even],
            in_hand=tuple(self.leases.held),
        )

    def _admits(self, op: Operation[Any]) -> bool:
        """Whether an operation in hand that comes to another place of ours may go on there at once."""
        share = self._share(op.place)
        is_crowd = op.kind in share.kinds or op.project_id in share.projects
        if is_crowd or self._free(op.place) <= 0 or self._is_fenced(op):
            self._crowded.add(op.place)
            return False
        self.leases.held[op.id].place = op.place
        return True

    def _is_fenced(self, op: Operation[Any]) -> bool:
        bulkheads = self.hands.bulkheads
        return op.place != SCHEDULER and (bulkheads.is_about(op.subject) or bulkheads.is_full(op.place))

    async def _look(self) -> Sequence[log.Row]:
        """Claim something where it was called for, never so much that one kind has every free worker.

        When nothing called, and it is only time to look again, a claim is tried if there is something to claim:
        to look costs the database less.
        """
        open_places = [
            place for place in self.places if self._free(place) > 0 and not self.hands.bulkheads.is_full(place)
        ]
        called, self._called = self._called & set(open_places), set()
        at, asked = clock.time(), time.monotonic()
        self._look_at = asked + self.db.poll_seconds
        whole = log.Asked(open_places, self.owner, in_hand=tuple(self.leases.held))
        rows: Sequence[log.Row] = []
        try:
            if not called:
                outlook = await self.db.read(log.outlook, whole)
                called = set(open_places) if outlook.soonest <= at else set()
            if called:
                shares = [
                    (self._share(place), -(-self._free(place) // (CROWD + 1))) for place in sorted(called)
                ]
                self._crowded = {
                    place for share, _ in shares for place in share.places if share.kinds or share.projects
                }
                rows, outlook = await self.db.write(log.claim_shares, shares, whole, at, self.leases.seconds)
            for row in rows:
                self.leases.take(row, asked)
            if outlook.holders:
                self._look_at = min(self._look_at, time.monotonic() + SOON_SECONDS)
                await self.leases.free_what_the_dead_hold(outlook.holders)
            if rows and outlook.soonest <= at:  # there is more
                self._called |= called
            is_locked = outlook.soonest <= at and not rows
            wait = SOON_SECONDS if is_locked else max(outlook.soonest - clock.time(), 0.0)
            self._look_at = min(self._look_at, time.monotonic() + wait)
        except Trouble as error:
            logger.warning("operations.claim_failed", error=str(error))
            self._called, self._look_at = set(self.places), time.monotonic() + SOON_SECONDS
        return rows

    async def _sleep(self) -> None:
        """Until a commit wakes us, a retry's time has come, or at last the poll's."""
        seconds = self.db.poll_seconds if self.course.stopping else self._look_at - time.monotonic()
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
                await self.db.write(log.release, row["id"], row["attempt"], clock.time() + INTERRUPTED_SECONDS)
        finally:
            # No look sees what is in hand, not even the one that followed the commit by which it was put down.
            # And what was left alone because there was no room for it may have its turn now.
            lease = self.leases.held.pop(row["id"])
            if not has_ended or lease.place in self._crowded or self._free(lease.place) == 1:
                self._call([lease.place])
            self._wake.set()

    # --- one operation --------------------------------------------------------------------------

    async def carry(self, op: Operation[Any]) -> Operation[Any]:
        """Run the operation's steps for as long as they are ours. Returns it as it was saved last."""
        with bound_contextvars(operation=op.id, kind=op.kind, request_id=op.request_id, attempt=op.attempt):
            while op.owner == self.owner:
                self.leases.held[op.id].op = op
                op = await self._next(op)
                if op.owner == self.owner and self._is_fenced(op):  # nothing more is done about it for now
                    await self.db.write(log.release, op.id, op.attempt, 0.0)
                    break
        return op

    async def _next(self, op: Operation[Any]) -> Operation[Any]:
        """One step outside, if one is due, and the transaction that follows it."""
        if op.state == "running":
            if op.cancelled:
                return await self._turn_back(op, None, PumiceError("The operation was cancelled."))
            if clock.time() > op.deadline:
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
            if (self.opening or self.course.stopping) and isinstance(failed.error, NoValidBackend):
                await self.db.write(log.release, op.id, op.attempt, clock.time() + OPENING_SECONDS)
                return replace(op, owner=None)
            return await self._save(self.course.turn_back, op, failed.line, failed.error)

    async def _act(
        self, work: Outside[Any], step: str, seconds: float, op: Operation[Any]
    ) -> PumiceError | None:
        """Do (or undo) one step outside, within its time. Returns what went wrong."""
        if op.state == "running":
            seconds = max(min(seconds, op.deadline - clock.time()), 0.001)
        bulkhead = self.hands.bulkheads.at(op.place)
        try:
            self.course.faults("before", direction(op), step, op)
            with bound_contextvars(step=step), self.leases.acting(op, seconds) as limit:
                await bulkhead.call(
                    step, lambda: work(op, self.hands), limit, about=op.subject, operation_id=op.id
                )
            self.course.faults("after", direction(op), step, op)
        except TimeoutError:
            return await self._too_slow(step, seconds, op)
        except LostLease:
            raise
        except PumiceError as error:
            return error
        except Exception as bug:  # a driver's bug must not strand the operation: it is undone and explained
            logger.exception("operation.bug", step=step)
            return Trouble(f"'{step}' failed unexpectedly: {type(bug).__name__}: {bug}")
        return None

    async def _too_slow(self, step: str, seconds: float, op: Operation[Any]) -> Trouble:
        """What to tell of a step that did not end. Before anything else, everybody knows if it still hangs."""
        late = f"'{step}' did not end within {seconds:g} seconds"
        if left := next((it for it in self.hands.bulkheads.left if it.operation_id == op.id), None):
            if telling := self._telling.get(left.id):
                await asyncio.wait({telling}, timeout=SOON_SECONDS)
            return Trouble(f"{late}, and its call hangs at {op.place}: nothing more is done until it is back.")
        return Trouble(f"{late}.")

    def _on_left(self, left: Left) -> None:
        self._telling[left.id] = asyncio.get_running_loop().create_task(self._tell_left(left))

    async def _tell_left(self, left: Left) -> None:
        await self._told(
            lambda tx: hanging.add(
                tx,
                left.id,
                self.owner,
                left.place,
                left.call,
                subject=left.about,
                operation_id=left.operation_id,
                seconds=time.monotonic() - left.since,
            )
        )

    def _on_back(self, left: Left) -> None:
        self._telling[left.id] = asyncio.get_running_loop().create_task(
            self._tell_back(left, self._telling.get(left.id))
        )

    async def _tell_back(self, left: Left, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        await self._told(lambda tx: hanging.remove(tx, left.id))
        del self._telling[left.id]
        self._call(self.places)

    async def _told(self, work: Callable[[Transaction], None]) -> None:
        """Write it, however long the database is away."""
        while True:
            try:
                await self.db.write(work)
            except Trouble:
                await asyncio.sleep(SOON_SECONDS)
            else:
                return

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

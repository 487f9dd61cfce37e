"""One whole Pumice, put together: database, drivers, workers, loops, the four APIs."""

import asyncio
import fcntl
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import structlog

from pumice.api.context import ApiContext
from pumice.app import checks, driver_setup, marks
from pumice.app.faults import fault_point
from pumice.app.openings import Openings
from pumice.app.passwords import first_passwords, forget, known_passwords, true_ones
from pumice.app.roles import EVERY, Role, take_name
from pumice.app.settings import Settings
from pumice.app.verbs import VERBS, set_deadlines
from pumice.catalog import flavors, group_types, volume_types
from pumice.host.daemon import Daemon
from pumice.host.reserve import Reserve
from pumice.host.thread import in_thread
from pumice.identity import bootstrap, lockout, passwords
from pumice.identity.tokens import LocalTokens
from pumice.images.files import ImageFiles
from pumice.loops import (
    audit,
    deadlines,
    expiry,
    heartbeats,
    image_cache,
    recycling,
    schedules,
    uploads,
    waiting,
)
from pumice.loops import hosts as host_loop
from pumice.loops.every import every
from pumice.loops.log_levels import LogLevels
from pumice.loops.notifications import Notify
from pumice.loops.violation import Repair
from pumice.loops.webhooks import FanOut
from pumice.model.errors import Misconfigured, Retryable
from pumice.model.ids import new_id
from pumice.model.metrics_sink import MetricsSink
from pumice.model.tunables import Tunables
from pumice.model.units import MIB
from pumice.operations.completions import Completions
from pumice.operations.drivers import Drivers
from pumice.operations.places import SCHEDULER, WEBHOOKS, volume_host
from pumice.operations.runner import Runner
from pumice.store import hosts, schema, witness
from pumice.store.database import Database, Transaction, alone
from pumice.store.log_levels import API_BINARY
from pumice.store.open import open_database
from pumice.store.sqlite import SqliteDatabase

logger = structlog.get_logger(__name__)

RESERVE_SECONDS = 2.0
"""How often to look how full the state directory's disk is: a call of the kernel."""


@dataclass(slots=True)
class Node:
    """A Pumice that can be run."""

    settings: Settings
    db: Database
    images: ImageFiles
    drivers: Drivers
    daemons: list[Daemon]
    ctx: ApiContext
    runner: Runner
    passwords: dict[str, str]
    """The first users' passwords, as they were set at the first start. Empty where there is no API."""
    roles: frozenset[Role]
    lost: asyncio.Event
    """Set when another process has taken this one's name: there is nothing to do any more but to stop."""
    metrics: MetricsSink
    reserve: Reserve
    began: float = field(default_factory=time.monotonic)

    async def work(self, stopping: asyncio.Event) -> None:
        """Do what the roles do besides answering until ``stopping``; then end after the steps in hand."""
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(every(RESERVE_SECONDS, self._keep_reserve, "reserve"))
            logging = tasks.create_task(self.log_levels().keep())
            if Role.API in self.roles:
                looking = uploads.Uploads(self.db, self.images).check
                repairing = tasks.create_task(every(uploads.SECONDS, looking, "uploads"))
                tidying = tasks.create_task(every(uploads.TIDY_SECONDS, self.images.tidy, "images"))
            if self.roles == {Role.API}:
                await stopping.wait()
            else:
                await self._carry(stopping)
            keeping.cancel()
            logging.cancel()
            if Role.API in self.roles:
                repairing.cancel()
                tidying.cancel()

    async def _keep_reserve(self) -> None:
        was_low = self.reserve.low
        await in_thread(self.reserve.keep)
        if self.reserve.low and not was_low:
            logger.error("state_disk.full", directory=str(self.reserve.directory), refused="whatever is new")
        elif was_low and not self.reserve.low:
            logger.info("state_disk.has_room", directory=str(self.reserve.directory))

    async def _carry(self, stopping: asyncio.Event) -> None:
        """Carry operations and run the loops until ``stopping``."""
        hearts = self.hearts()
        repairs = self.repairs()
        openings = Openings(self.drivers)
        hearts.closed |= openings.places
        self.runner.opening |= openings.places

        async def opened(place: str) -> None:
            with suppress(Retryable):  # while the database is away: it comes with the next heartbeat
                await hearts.introduce(place)
            self.runner.open(place)
            logger.info("place.opened", place=place)

        async def repair(check: audit.Check) -> None:
            if check is not audit.ROWS:
                await openings.all_tried()
            await every(check.seconds, repairs[check].run, check.name)

        running_ones = [
            openings.run(opened, self.runner.has_tried),
            every(heartbeats.SECONDS, hearts.pulse, "heartbeats"),
            *(repair(check) for check in repairs),
            *(every(seconds, work, name) for name, (seconds, work) in self.loops().items()),
            *self._followers(),
        ]
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(loop) for loop in running_ones]
            tasks.create_task(self.runner.run())
            await stopping.wait()
            for loop in running:
                loop.cancel()
            self.runner.stop()
            with suppress(Retryable):  # while the database is away it counts as down after a while anyway
                await hearts.fall_silent()
        await driver_setup.stop_daemons(self.daemons, force=False)

    def _followers(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What a scheduler hands the log to as it grows."""
        if Role.SCHEDULER in self.roles:
            yield FanOut(self.db).run()
            if broker := self.settings.notifications.broker():
                yield Notify(self.db, broker, self.metrics).run()

    def loops(self) -> dict[str, tuple[float, Callable[[], Awaitable[object]]]]:
        """The loops of a scheduler by name, each with its period in seconds."""
        if Role.SCHEDULER not in self.roles:
            return {}
        verbs, tunables = self.runner.state_machine.verbs, self.ctx.tunables
        return {
            "deadlines": (
                deadlines.SECONDS,
                deadlines.Deadlines(self.db, self.runner.state_machine, self.metrics).check,
            ),
            "hosts": (host_loop.SECONDS, host_loop.Gone(self.db, verbs, tunables).check),
            "waiting": (waiting.SECONDS, waiting.Waiting(self.db, verbs, tunables).check),
            "recycle_bin": (recycling.SECONDS, self._recycling().check),
            "schedules": (schedules.SECONDS, schedules.Schedules(self.db, tunables, self.metrics).check),
            "image cache": (image_cache.SECONDS, image_cache.ImageCache(self.db, tunables).sweep),
            "expiry": (expiry.SECONDS, expiry.Expiry(self.db, self.settings.operations.keep_days).sweep),
        }

    def _recycling(self) -> recycling.Recycling:
        said = self.settings.recycle_bin
        return recycling.Recycling(self.db, said.low_space_percent, said.notice_hours * 3600)

    def repairs(self) -> dict[audit.Check, Repair]:
        """What this process repairs: what it has drivers for, and the rows if it is a scheduler."""
        all_checks = (*audit.OUTSIDE, *audit.SHARED) if Role.SCHEDULER in self.roles else audit.OUTSIDE
        return {
            check: Repair(check.in_a_loop(), self.drivers, self.settings.repair.grace_seconds)
            for check in all_checks
        }

    def hearts(self) -> heartbeats.Heartbeats:
        """The heartbeats that say that this process is alive."""
        host, zone = self.settings.host, self.settings.availability_zone
        zones = {
            self.settings.place(name): it.availability_zone
            for name, it in self.settings.backends.items()
            if it.availability_zone
        }
        functions = {
            self.settings.place(name): it.model_dump(
                include={"filter_function", "goodness_function"}, exclude_none=True
            )
            for name, it in self.settings.backends.items()
        }
        schedules = Role.SCHEDULER in self.roles
        return heartbeats.Heartbeats(
            self.drivers, host, zone, zones, schedules, functions, forgotten=self.lost.set
        )

    def log_levels(self) -> LogLevels:
        """What this process logs, for the services of block storage that it is."""
        who = [service for service in self.hearts().who() if service[0] != heartbeats.COMPUTE]
        if Role.API in self.roles:
            who.append((API_BINARY, self.settings.host))
        return LogLevels(self.db, who)


async def build(settings: Settings, roles: frozenset[Role] = EVERY, metrics: MetricsSink | None = None) -> Node:
    """Open the database, brought up to date and furnished, and put the parts together."""
    checks.refuse(settings, roles)
    settings.state_dir.absolute().mkdir(mode=0o700, parents=True, exist_ok=True)
    set_deadlines(settings.operations.deadlines)
    db = open_database(settings.database(), "serve" if roles == EVERY else "+".join(sorted(roles)))
    try:
        return await _build(settings, roles, db, metrics or MetricsSink())
    except BaseException:
        await db.close()
        raise


async def _build(settings: Settings, roles: frozenset[Role], db: Database, metrics: MetricsSink) -> Node:
    db.metrics = metrics
    await schema.migrate(db)
    await marks.take_state_directory(db, settings)
    lost = asyncio.Event()
    name = await take_name(db, settings.host, roles, lost.set)
    if roles & {Role.VOLUME, Role.COMPUTE}:
        await db.read(hosts.refuse_forgotten, settings.host)
    tunables = settings.tunables()
    first = await _furnish(db, settings, tunables) if Role.API in roles else {}
    images = settings.images.open(settings.state_dir.absolute())
    driven = driver_setup.build(settings, db, images, roles, serves=True)
    drivers = driven.drivers
    passwords.most_waiting = settings.identity.most_logins
    lockout.attempts = settings.identity.lockout_failure_attempts
    lockout.seconds = settings.identity.lockout_duration
    tokens = LocalTokens(db, lifetime=settings.identity.token_hours * 3600)
    reserve = Reserve(settings.state_dir.absolute(), settings.reserve_mib * MIB)
    await in_thread(reserve.keep)
    if isinstance(db, SqliteDatabase):
        db.make_room = reserve.give_up
    ctx = ApiContext(
        db,
        Completions(db),
        tokens,
        tunables,
        metrics,
        refuses_new=partial(_no_room, reserve),
        verbs={verb.kind: verb for verb in VERBS},
        outbound=settings.webhooks.outbound(),
    )
    runner = Runner(
        db,
        VERBS,
        drivers,
        host=name,
        boot=new_id(),
        places=[SCHEDULER, WEBHOOKS] if Role.SCHEDULER in roles else [],
        tunables=tunables,
        workers=settings.operations.workers,
        lease=settings.operations.lease_seconds,
        silence=settings.operations.silent_seconds,
        faults=fault_point(settings.fault),
        metrics=metrics,
        witnesses=_witnesses(settings, roles),
    )
    return Node(
        settings, db, images, drivers, driven.daemons, ctx, runner, first, roles, lost, metrics, reserve
    )


def _witnesses(settings: Settings, roles: frozenset[Role]) -> witness.Witnesses:
    """What this process notes of the log: in the state directory, and where its backends keep files."""
    state, host = settings.state_dir.absolute(), settings.host
    backends = settings.backends if Role.VOLUME in roles else {}
    beside = {
        volume_host(settings.place(name)): [
            witness.Witness(directory.absolute() / witness.WITH_BYTES, host)
            for directory in it.directories(name, state).values()
        ]
        for name, it in backends.items()
    }
    return witness.Witnesses(witness.Witness(state / witness.DIRECTORY, host), beside)


def _no_room(reserve: Reserve) -> str | None:
    """Why nothing new is made."""
    if not reserve.low:
        return None
    return (
        "The disk of the state directory is nearly full: nothing new is made. Delete something, or ask later."
    )


async def _furnish(db: Database, settings: Settings, tunables: Tunables) -> dict[str, str]:
    """Add the rows that an installation begins with. Returns the first users' passwords that are still true."""
    is_first = await db.read(bootstrap.is_needed)
    passwords = first_passwords(settings) if is_first else known_passwords(settings)
    hashes = bootstrap.hashes(passwords) if is_first else {}

    def work(tx: Transaction) -> None:
        alone(tx)
        bootstrap.bootstrap(tx, hashes)
        volume_types.make_default(tx, tunables)
        group_types.make_default(tx)
        flavors.make_defaults(tx)

    await db.write(work)
    true = await true_ones(db, settings, passwords, made=hashes)
    if is_first:
        forget(settings, {user: it for user, it in passwords.items() if user not in true})
    return true


def only_one(settings: Settings) -> IO[str]:
    """Hold the lock of this host's name for as long as the returned file is open. Raises ``Misconfigured``.

    The lock is the kernel's: it ends with the process, however that ends. Its file goes when the host gets
    another name; who opened it just before that opens it anew.
    """
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = settings.lock_of(settings.host)
    file = _locked(settings, path)
    while not _is(file, path):
        file.close()
        file = _locked(settings, path)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _locked(settings: Settings, path: Path) -> IO[str]:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        other = file.read().strip() or "unknown"
        raise Misconfigured(
            f"Another Pumice (process {other}) serves host '{settings.host}' from {settings.state_dir}. "
            "Stop it, or give this one another --host and --state-dir."
        ) from None
    return file


def _is(file: IO[str], path: Path) -> bool:
    """Whether the path still leads to this file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False

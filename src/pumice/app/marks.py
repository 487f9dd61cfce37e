"""Marks of places: state directories, pools and hosts bear one, and what bears another's is not used.

A mark is written where there is none yet and nothing speaks against it; whoever finds another's refuses, with a
sentence that says what to do. So a host that has got another name, a database of another installation, a pool
that is not mounted: each stops the place that it is about, and nothing is made, removed or put aside there.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from pumice.app.settings import Settings
from pumice.backends.contract import Backend
from pumice.host.durable import write_text
from pumice.host.thread import in_thread
from pumice.hypervisor.contract import Hypervisor
from pumice.model import mark
from pumice.model.errors import Misconfigured, PumiceError, in_full
from pumice.model.mark import Mark
from pumice.store import installation, ownership
from pumice.store.database import Database

FILE = ".pumice-mark"

Driver = TypeVar("Driver")
Admit = Callable[[bool], Awaitable[None]]
"""Raises ``Misconfigured`` while the place is not ours to use; told True, it leaves our mark there."""
ANSWER_SECONDS = 3.0
"""How long a pool may take to answer before the others of its backend go on without it."""
LOOKED_AT_ANEW = frozenset({"pools", "inventory", "machines"})
"""Calls that come every few seconds or minutes: then it is asked again whether the place is still ours."""


def guarded(driver: Driver, starts: str, admit: Admit) -> Driver:
    """A driver that does nothing until its place is found to be ours."""
    return cast(Driver, _Guarded(driver, starts, admit))


class _Guarded:
    def __init__(self, driver: object, starts: str, admit: Admit) -> None:
        self._driver, self._starts, self._admit = driver, starts, admit
        self._admitted = False

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._driver, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        @functools.wraps(attribute)
        async def only_ours(*args: Any, **kwargs: Any) -> Any:
            if not self._admitted or name in LOOKED_AT_ANEW:
                try:
                    await self._admit(False)
                except PumiceError:
                    self._admitted = False
                    raise
            result = await attribute(*args, **kwargs)
            if name == self._starts:
                await self._admit(True)
            self._admitted = True
            return result

        return only_ours


async def take_state_directory(db: Database, settings: Settings) -> None:
    """Leave our mark in the state directory. Raises ``Misconfigured`` when it is another's.

    With SQLite it is one host's. Several hosts that share a PostgreSQL may share a state directory.
    """
    ours = Mark(await db.write(installation.identify), settings.host if _is_alone(settings) else "")
    if await in_thread(read_file, _of_state(settings)) != ours:
        await refuse_anothers(db, settings)
        await in_thread(write_text, _of_state(settings), ours.text())


async def refuse_anothers(db: Database, settings: Settings) -> None:
    """Raise ``Misconfigured`` when the state directory is another's. Nothing is changed."""
    path = _of_state(settings)
    there = await in_thread(read_file, path)
    what = f"The state directory {settings.state_dir}"
    if there and there.installation != await db.read(installation.find):
        raise Misconfigured(
            f"{what} belongs to another installation of Pumice than the database. Give this one the database "
            f"that goes with it, or another --state-dir. If that database is lost for good, remove {path}."
        )
    if _is_alone(settings):
        names = {settings.host, *(it.cluster for it in settings.backends.values() if it.cluster)}
        others = await db.read(installation.hosts_with_things)
        old = there.place if there and there.place else next(iter(sorted(others)), "")
        if old and old != settings.host and (there or not others & names):
            raise Misconfigured(_other_host(f"{what} is of host '{old}'", old, settings.host))


def _of_state(settings: Settings) -> Path:
    return settings.state_dir.absolute() / FILE


def _is_alone(settings: Settings) -> bool:
    return settings.database().startswith("sqlite")


def _other_host(what: str, old: str, new: str) -> str:
    return (
        f"{what}, and this is '{new}'. If the host has a new name, run 'pumice hosts rename {old} {new}'; "
        f"if not, give it its name: --host {old}."
    )


def for_backend(db: Database, place: str, backend: Backend, *, serves: bool, is_cluster: bool = False) -> Admit:
    """Whether the pools of a backend are ours, and it has their bytes.

    Who ``serves`` them is alone at that, or with the other members of the cluster.
    """

    async def look(pool: str, leave: bool) -> None:
        is_marked = await _admit_pool(db, place, pool, backend)
        if not is_marked and (leave or (serves and pool in known)):  # else it was lost meanwhile
            await backend.set_mark(pool, Mark(await db.write(installation.identify), f"{place}#{pool}"))
            await db.write(installation.note_mark, f"{place}#{pool}")
        if serves and (is_marked or leave):
            await backend.occupy(pool, shared=is_cluster)
        known.add(pool)

    known, looking = set[str](), dict[tuple[str, bool], asyncio.Task[None]]()

    def looked(task: asyncio.Task[None]) -> None:
        looking.pop(next(key for key, it in looking.items() if it is task))
        if not task.cancelled():
            task.exception()  # looked at, whether anybody still waits for it or not

    async def admit(leave: bool) -> None:
        names = await backend.pool_names()
        for pool in names:
            if (pool, leave) not in looking:
                looking[pool, leave] = asyncio.create_task(look(pool, leave))
                looking[pool, leave].add_done_callback(looked)
        tasks = {pool: looking[pool, leave] for pool in names}
        await asyncio.wait(tasks.values(), timeout=ANSWER_SECONDS)
        for pool, task in tasks.items():
            if task.done() or pool not in known:  # one that hangs is what it was until it answers
                await task

    return admit


async def wrong_pools(db: Database, place: str, backend: Backend) -> list[str]:
    """Why pools of a backend are not ours. Nothing is changed; one that does not answer is left out."""
    if not backend.keeps:
        return []
    found = []
    for pool in await backend.pool_names():
        try:
            await _admit_pool(db, place, pool, backend)
        except Misconfigured as error:
            found.append(in_full(error))
        except PumiceError:
            continue
    return found


async def _admit_pool(db: Database, place: str, pool: str, backend: Backend) -> bool:
    """Whether it bears our mark; False when it bears none and may have ours. Raises ``Misconfigured``."""
    name = f"{place}#{pool}"
    there = await backend.mark(pool)
    who = await db.read(installation.find)
    if there is not None:
        if there == Mark(who or "", name):
            return True
        raise Misconfigured(_another_pool(there, who, name))
    known = await db.read(ownership.bytes_at, place)
    try:
        pieces = {piece for piece in (await backend.inventory()).pieces if piece.whole}
    except PumiceError:  # not made yet
        pieces = set()
    here = {piece for piece in pieces if piece.pool == pool}
    if here & known.may:
        return False
    if here:
        raise Misconfigured(
            f"Pool {name} has no mark and holds {len(here)} volumes or snapshots that the database does not "
            f"know. {_TAKE.format(name)}"
        )
    if any(piece.pool == pool for piece in known.must) or await db.read(installation.is_marked, name):
        raise Misconfigured(
            f"Pool {name} has lost its mark and its bytes: is its storage mounted? {_TAKE.format(name)}"
        )
    return False


_TAKE = "To use it nevertheless, run 'pumice backends take {}'."


def _another_pool(there: Mark, who: str | None, name: str) -> str:
    if there.installation != who:
        return (
            f"Pool {name} belongs to another installation of Pumice, as {there.place}: give this one storage "
            f"of its own, or the database that goes with it. {_TAKE.format(name)}"
        )
    old, new = there.place.partition("#")[0], name.partition("#")[0]
    (old_host, _, old_backend), (new_host, _, new_backend) = old.partition("@"), new.partition("@")
    if old == new:
        return (
            f"Pool {name} has the storage of {there.place}: this backend's pools have changed their names or "
            "places. Give each its own directory again, under its old name."
        )
    if old_backend == new_backend:
        return _other_host(f"Pool {name} belongs to {there.place}", old_host, new_host)
    if old_host == new_host:
        return (
            f"Pool {name} belongs to {there.place}. If that backend has a new name, run 'pumice backends "
            f"rename {old} {new_backend}'; if not, give this one storage of its own."
        )
    return f"Pool {name} belongs to {there.place}: give this backend storage of its own. {_TAKE.format(name)}"


def for_hypervisor(db: Database, host: str, home: Path, hypervisor: Hypervisor) -> Admit:
    """Whether what a hypervisor keeps in ``home`` is this host's."""

    async def admit(leave: bool) -> None:
        who = await db.read(installation.find)
        there = await in_thread(read_file, home / FILE)
        if there is None:
            if leave:
                await _refuse_unknown_machines(db, host, hypervisor)
                ours = Mark(await db.write(installation.identify), host)
                await in_thread(write_text, home / FILE, ours.text())
        elif there.installation != who:
            raise Misconfigured(
                f"The machines below {home} belong to another installation of Pumice: give this one a state "
                "directory of its own, or the database that goes with it."
            )
        elif there.place != host:
            raise Misconfigured(
                _other_host(f"The machines below {home} are of '{there.place}'", there.place, host)
            )

    return admit


async def _refuse_unknown_machines(db: Database, host: str, hypervisor: Hypervisor) -> None:
    machines = await hypervisor.machines()
    if machines and not machines & await db.read(ownership.servers_at, host):
        raise Misconfigured(
            f"Hypervisor {host} has {len(machines)} machines of Pumice, of which the database knows none. If "
            f"the host has a new name, run 'pumice hosts rename OLD {host}'; if not, remove the machines first."
        )


def read_file(path: Path) -> Mark | None:
    """The mark in a file; None where there is none."""
    try:
        return mark.read(path.read_text())
    except FileNotFoundError:
        return None

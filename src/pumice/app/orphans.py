"""``pumice orphans``: bytes in this host's pools, and objects of backups, that nobody knows.

Whose they become, or that they go.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from pumice.app import driver_setup, running
from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, short, table
from pumice.app.verbs import set_deadlines
from pumice.backends import aside
from pumice.backends.aside import Aside
from pumice.backends.backups.contract import BackupStore
from pumice.backends.backups.contract import Found as ObjectsFound
from pumice.backends.contract import Backend
from pumice.loops import orphans, stored
from pumice.model.errors import Conflict, Invalid, NotFound, PumiceError
from pumice.model.ids import ProjectId
from pumice.model.scope import INTERNAL
from pumice.model.stored import StoredObject
from pumice.model.volume import Volume
from pumice.operations.drivers import Drivers
from pumice.store import ownership, projects
from pumice.store.database import Transaction
from pumice.volumes import manage


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a volume or snapshot, and where they are; ``kept`` once they were put aside."""

    place: str
    backend: Backend
    piece: StoredObject
    kept: Aside | None

    @property
    def id(self) -> str:
        """The id of the volume or snapshot that it was."""
        return self.piece.id

    @property
    def where(self) -> str:
        """The pool's whole name."""
        return f"{self.place}#{self.piece.pool}"

    @property
    def kind(self) -> str:
        """What it was."""
        return self.piece.kind if self.piece.whole else f"unfinished {self.piece.kind}"

    async def free(self) -> None:
        """Let its bytes go for good."""
        await self.backend.give_up(self.piece.pool, await _put_aside(self))


@dataclass(frozen=True, slots=True)
class Objects:
    """What lies in the store of backups under the id of one. It is put aside nowhere."""

    store: BackupStore
    objects: ObjectsFound
    kept: None = None

    @property
    def id(self) -> str:
        """The id of the backup that it was."""
        return self.objects.id

    @property
    def where(self) -> str:
        """The store, and what is there under which name."""
        return f"{stored.place_of(self.store)}: {self.objects.container}/{self.objects.prefix}"

    @property
    def kind(self) -> str:
        """What it was."""
        return "objects of backup" if self.objects.whole else "unfinished objects of backup"

    async def free(self) -> None:
        """Let them go for good."""
        await self.store.free(self.objects)


Found = Bytes | Objects


def print_list(settings: Settings, *, as_json: bool, wide: bool) -> None:
    """Print every one, the oldest first."""

    async def work() -> list[Found]:
        async with _drivers(settings) as drivers:
            return await _every(drivers)

    found = running.run(work())
    if as_json:
        print_json([_as_json(it) for it in found])
        return
    more = ("name",) if wide else ()
    shown = table("id", "kind", "GiB", "put aside", "pool", *more, whole=("id", "put aside"))
    for it in found:
        kept = (f"{it.kept.size / 2**30:g}", f"{it.kept.since}") if it.kept else ("", "")
        name = (plain(it.kept.name if it.kept else ""),) if wide else ()
        shown.add_row(short(it.id, wide), it.kind, *kept, plain(it.where), *name)
    console().print(shown if found else "None.")


def _as_json(it: Found) -> dict[str, object]:
    kept = {"bytes": it.kept.size, "since": it.kept.since, "name": it.kept.name} if it.kept else {}
    return {"id": it.id, "kind": it.kind, "pool": it.where, **kept}


def adopt(settings: Settings, beginning: str, project: str, *, yes: bool) -> None:
    """Begin to make a volume of it, in a project; or put it back, if a row has its id. Raises ``NotFound``."""
    set_deadlines(settings.operations.deadlines)
    print(running.run(_adopt(settings, beginning, project, yes=yes)))


async def _adopt(settings: Settings, beginning: str, project: str, *, yes: bool) -> str:
    async with _drivers(settings) as drivers:
        found = await _one(drivers, beginning)
        if isinstance(found, Objects):
            raise Invalid(
                f"Only bytes in a pool become a volume, and {found.id} is a backup's objects: import their "
                "record, 'openstack volume backup record import', and restore the backup."
            )
        alive = await drivers.db.read(ownership.alive, found.piece.kind, [found.piece.id])
        if alive and found.piece.whole:
            raise Conflict(f"There is a {found.piece.kind} {found.piece.id}: see where its bytes are.")
        owner = await drivers.db.read(_project, project)
        if not yes:
            return f"It would be a volume of project {project}, by the pool's host. '--yes' begins it."
        name = await _put_aside(found)
        who = replace(INTERNAL, project_id=owner, system=False)
        asked = manage.Existing(pool=found.where, name=name, display_name=f"adopted-{found.piece.id}")

        def work(tx: Transaction) -> Volume:
            return manage.accept(tx, who, asked, settings.tunables())

        volume = await drivers.db.write(work)
        return f"It is being made volume {volume.id} of project {project}, called {volume.name}."


def remove(settings: Settings, beginning: str, *, yes: bool) -> None:
    """Free an orphan's bytes for good. Raises ``NotFound``."""
    print(running.run(_remove(settings, beginning, yes=yes)))


async def _remove(settings: Settings, beginning: str, *, yes: bool) -> str:
    async with _drivers(settings) as drivers:
        found = await _one(drivers, beginning)
        what = f"{found.kind} {found.id} on {found.where}"
        if not yes:
            return f"The bytes of {what} would be gone for good. '--yes' frees them."
        await found.free()
        return f"The bytes of {what} are gone."


async def _put_aside(found: Bytes) -> str:
    """The name under which it is manageable from now on."""
    if found.kept:
        return found.kept.name
    name = aside.name_of(found.piece)
    await found.backend.put_aside(found.piece, name)
    return name


@asynccontextmanager
async def _drivers(settings: Settings) -> AsyncIterator[Drivers]:
    async with existing(settings) as db:
        yield driver_setup.build(settings, db, settings.images.open(settings.state_dir.absolute())).drivers


async def _every(drivers: Drivers) -> list[Found]:
    found: list[Found] = []
    looks: list[Awaitable[Sequence[Found]]] = [_pieces(drivers, *each) for each in drivers.backends.items()]
    if drivers.backups:
        looks.append(_objects(drivers, drivers.backups))
    for answer in await asyncio.gather(*looks, return_exceptions=True):
        if isinstance(answer, PumiceError):
            print(f"not looked at: {answer}", file=sys.stderr)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found += answer
    return sorted(found, key=lambda it: (it.kept.name if it.kept else "z", it.id))


async def _pieces(drivers: Drivers, place: str, backend: Backend) -> list[Bytes]:
    unknown = await orphans.unknown_pieces(drivers, place, backend)
    kept = [Bytes(place, backend, it.piece, it) for it in await orphans.put_aside(backend)]
    return [*(Bytes(place, backend, it, None) for it in unknown if it.whole), *kept]


async def _objects(drivers: Drivers, store: BackupStore) -> list[Objects]:
    return [Objects(store, it) for it in await stored.unknown_objects(drivers, store)]


async def _one(drivers: Drivers, beginning: str) -> Found:
    found = [it for it in await _every(drivers) if it.id.startswith(beginning)]
    if len(found) > 1:
        raise Conflict(f"More than one begins with '{beginning}': {', '.join(it.id for it in found)}.")
    if not found:
        raise NotFound("Unknown piece", beginning)
    return found[0]


def _project(tx: Transaction, name: str) -> ProjectId:
    row = projects.get(tx, name) or projects.named(tx, name, domain_id="default")
    if row is None:
        raise NotFound("Project", name)
    return ProjectId(row["id"])

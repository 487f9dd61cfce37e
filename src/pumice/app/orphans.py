"""``pumice orphans``: bytes in this host's pools that nobody knows: whose they become, or that they go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from pumice.app import driver_setup
from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, short, table
from pumice.app.verbs import set_deadlines
from pumice.backends import aside
from pumice.backends.aside import Aside
from pumice.backends.contract import Backend
from pumice.images.files import ImageFiles
from pumice.loops import orphans
from pumice.model.errors import Conflict, NotFound
from pumice.model.ids import ProjectId
from pumice.model.scope import INTERNAL
from pumice.model.stored import StoredObject
from pumice.model.volume import Volume
from pumice.operations.drivers import Drivers
from pumice.store import ownership, projects
from pumice.store.database import Transaction
from pumice.volumes import manage


@dataclass(frozen=True, slots=True)
class Found:
    """A piece and where it is; ``kept`` once it was put aside."""

    place: str
    backend: Backend
    piece: StoredObject
    kept: Aside | None

    @property
    def where(self) -> str:
        """The pool's whole name."""
        return f"{self.place}#{self.piece.pool}"


def print_list(settings: Settings, *, as_json: bool, wide: bool) -> None:
    """Print every one, the oldest first."""

    async def work() -> list[Found]:
        async with _hands(settings) as drivers:
            return await _every(drivers)

    found = asyncio.run(work())
    if as_json:
        print_json([_as_json(it) for it in found])
        return
    more = ("name",) if wide else ()
    shown = table("id", "kind", "GiB", "put aside", "pool", *more, whole=("id", "put aside"))
    for it in found:
        kept = (f"{it.kept.size / 2**30:g}", f"{it.kept.since}") if it.kept else ("", "")
        name = (plain(it.kept.name if it.kept else ""),) if wide else ()
        shown.add_row(short(it.piece.id, wide), _kind(it), *kept, plain(it.where), *name)
    console().print(shown if found else "None.")


def _kind(it: Found) -> str:
    return it.piece.kind if it.piece.whole else f"unfinished {it.piece.kind}"


def _as_json(it: Found) -> dict[str, object]:
    kept = {"bytes": it.kept.size, "since": it.kept.since, "name": it.kept.name} if it.kept else {}
    return {"id": it.piece.id, "kind": _kind(it), "pool": it.where, **kept}


def adopt(settings: Settings, beginning: str, project: str, *, yes: bool) -> None:
    """Begin to make a volume of it, in a project; or put it back, if a row has its id. Raises ``NotFound``."""
    set_deadlines(settings.operations.deadlines)
    print(asyncio.run(_adopt(settings, beginning, project, yes=yes)))


async def _adopt(settings: Settings, beginning: str, project: str, *, yes: bool) -> str:
    async with _hands(settings) as drivers:
        found = await _one(drivers, beginning)
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
    print(asyncio.run(_remove(settings, beginning, yes=yes)))


async def _remove(settings: Settings, beginning: str, *, yes: bool) -> str:
    async with _hands(settings) as drivers:
        found = await _one(drivers, beginning)
        what = f"{found.piece.kind} {found.piece.id} on {found.where}"
        if not yes:
            return f"The bytes of {what} would be gone for good. '--yes' frees them."
        await found.backend.give_up(found.piece.pool, await _put_aside(found))
        return f"The bytes of {what} are gone."


async def _put_aside(found: Found) -> str:
    """The name of the stranger that it is from now on."""
    if found.kept:
        return found.kept.name
    name = aside.name_of(found.piece)
    await found.backend.put_aside(found.piece, name)
    return name


@asynccontextmanager
async def _hands(settings: Settings) -> AsyncIterator[Drivers]:
    async with existing(settings) as db:
        yield driver_setup.build(settings, db, ImageFiles(settings.state_dir.absolute() / "images")).drivers


async def _every(drivers: Drivers) -> list[Found]:
    found = []
    for place, backend in drivers.backends.items():
        unknown = await orphans.unknown_pieces(drivers, place, backend)
        found += [Found(place, backend, piece, None) for piece in unknown if piece.whole]
        found += [Found(place, backend, it.piece, it) for it in await orphans.put_aside(backend)]
    return sorted(found, key=lambda it: (it.kept.name if it.kept else "z", it.piece.id))


async def _one(drivers: Drivers, beginning: str) -> Found:
    found = [it for it in await _every(drivers) if it.piece.id.startswith(beginning)]
    if len(found) > 1:
        raise Conflict(f"More than one begins with '{beginning}': {', '.join(it.piece.id for it in found)}.")
    if not found:
        raise NotFound("Unknown piece", beginning)
    return found[0]


def _project(tx: Transaction, name: str) -> ProjectId:
    row = projects.get(tx, name) or projects.named(tx, name, domain_id="default")
    if row is None:
        raise NotFound("Project", name)
    return ProjectId(row["id"])

"""``pumice hosts rename`` and ``pumice backends rename``: what is called otherwise, and what bears its mark.

First the rows, in one transaction; then the marks, on the host that has them. Killed in between, the same
command again does the rest: until then nothing starts there, as the marks say another name.
"""

from collections.abc import Callable
from pathlib import Path

from pumice.app import driver_setup, marks, node, running
from pumice.app.database import existing
from pumice.app.settings import Settings
from pumice.backends.contract import Backend
from pumice.host.durable import write_text
from pumice.model.errors import Conflict, Invalid, Misconfigured, NotFound, PumiceError
from pumice.model.mark import Mark
from pumice.model.place_name import place_name
from pumice.store import hosts, installation, renames, services
from pumice.store.database import Transaction


class _Undone(Exception):
    """Ends the transaction of a rename that is only tried: what it would change is known."""

    def __init__(self, changed: dict[str, int]) -> None:
        super().__init__()
        self.changed = changed


def rename_host(settings: Settings, old: str, new: str, *, yes: bool) -> None:
    """Give a host another name. Raises ``NotFound``, or ``Conflict`` while a service of it is up."""
    if "@" in old:
        raise Invalid("It reads: pumice hosts rename OLD NEW")
    _refuse_bad(new)
    _rename(settings, old, new, old, yes=yes)
    if yes:
        print(f"From now on this host is '{new}': --host {new}, or host = \"{new}\" in the settings.")


def rename_backend(settings: Settings, old: str, name: str, *, yes: bool) -> None:
    """Give the backend ``HOST@OLD`` another name. Raises as ``rename_host`` does."""
    host, at, _ = old.partition("@")
    if not at or "#" in old or "@" in name:
        raise Invalid("It reads: pumice backends rename HOST@OLD NEW")
    _refuse_bad(name)
    _rename(settings, old, f"{host}@{name}", host, yes=yes)


def _refuse_bad(name: str) -> None:
    try:
        place_name(name)
    except ValueError as error:
        raise Invalid(f"{error}.") from None


def _rename(settings: Settings, old: str, new: str, host: str, *, yes: bool) -> None:
    if old == new:
        raise Invalid(f"It is called '{new}' already.")
    file = settings.lock_of(host)
    lock = node.only_one(settings.model_copy(update={"host": host})) if file.exists() else None
    is_over = lock is not None and settings.database().startswith("sqlite")
    try:
        changed = running.run(_run(settings, old, new, yes=yes, is_over=is_over))
        if lock and yes and old == host:
            file.unlink()  # while it is held: nobody is of that name any more
    finally:
        if lock:
            lock.close()
    did = "renamed" if yes else "to be renamed"
    for what in changed:
        print(f"{did}: {what}")
    if not changed:
        raise NotFound("Host" if "@" not in old else "Backend", old)
    if not yes:
        print(f"Nothing was changed. '--yes' renames {old} to {new}.")


async def _run(settings: Settings, old: str, new: str, *, yes: bool, is_over: bool) -> list[str]:
    """``is_over``: the only process that could be of this host has ended, whatever its heartbeats say."""
    down, host = settings.tunables().service_down_seconds, old.partition("@")[0]

    def work(tx: Transaction) -> dict[str, int]:
        known = hosts.find(tx, host)
        if known and not is_over and any(services.is_heard(row, down) for row in known.services):
            raise Conflict(f"Host {host} is up: stop it, or wait until it is down ('pumice hosts').")
        if "@" not in new and (forgotten := hosts.find(tx, new)) and forgotten.forgotten_at:
            raise Conflict(f"Host {new} was forgotten: 'pumice hosts readmit {new}' first.")
        changed = renames.rename(tx, old, new)
        if not yes:
            raise _Undone(changed)
        return changed

    async with existing(settings) as db:
        who = await db.read(installation.find)
        named = settings.model_copy(update={"host": new.partition("@")[0]})
        if yes:
            for backend, pool, _ in await _pools(named, old, new, who or ""):
                await backend.occupy(pool, shared=False)
        try:
            changed = await db.write(work)
        except _Undone as undone:
            changed = undone.changed
        rows = [f"{number} {kind}" for kind, number in changed.items()]
        return rows + await _marks(named, old, new, who or "", yes=yes)


async def _marks(settings: Settings, old: str, new: str, who: str, *, yes: bool) -> list[str]:
    """The marks, and the directories that have their names from it, in this state directory."""
    found = []
    for path, end in _directories(settings, old, new):
        if path.is_dir() and not end.exists():
            found.append(f"directory {path}")
            if yes:
                path.rename(end)
    home = driver_setup.home_of_machines(settings)
    for file in (settings.state_dir / marks.FILE, *([home / marks.FILE] if home else [])):
        there = marks.read_file(file)
        if there and there.installation == who and there.renamed(old, new) != there:
            found.append(f"mark {file}")
            if yes:
                write_text(file, there.renamed(old, new).text())
    for backend, pool, there in await _pools(settings, old, new, who):
        found.append(f"mark of pool {there.place}")
        if yes:
            await backend.set_mark(pool, there.renamed(old, new))
    return found


async def _pools(settings: Settings, old: str, new: str, who: str) -> list[tuple[Backend, str, Mark]]:
    """The pools whose marks say the old name."""
    found = []
    for name in settings.backends:
        backend = driver_setup.backend(settings, name)
        for pool in await backend.pool_names() if backend.keeps else ():
            there = await _mark(backend.mark, pool)
            if there and there.installation == who and there.renamed(old, new) != there:
                found.append((backend, pool, there))
    return found


async def _mark(read: Callable[[str], object], pool: str) -> Mark | None:
    try:
        there = await read(pool)  # type: ignore[misc]
    except PumiceError as error:
        raise Misconfigured(
            f"{error.in_full} Its mark cannot be renamed now: do so again when it can be read."
        ) from error
    return there if isinstance(there, Mark) else None


def _directories(settings: Settings, old: str, new: str) -> list[tuple[Path, Path]]:
    """The directories of a state directory that are named after a host or a backend, old and new."""
    state = settings.state_dir.absolute()
    if "@" not in old:
        return [(state / "compute" / f"fake-{old}", state / "compute" / f"fake-{new}")]
    before, after = old.partition("@")[2], new.partition("@")[2]
    home = settings.backends[after].home(after, state) if after in settings.backends else None
    return [(home.with_name(before), home)] if home else []  # else it stays where the settings say


def take_pool(settings: Settings, name: str, *, yes: bool) -> None:
    """Leave this installation's mark on a pool of this host, whatever is there. Raises ``NotFound``."""
    running.run(_take_pool(settings, name, yes=yes))


async def _take_pool(settings: Settings, name: str, *, yes: bool) -> None:
    place, _, pool = name.partition("#")
    backends = {settings.place(known): driver_setup.backend(settings, known) for known in settings.backends}
    if place not in backends or pool not in await backends[place].pool_names():
        raise NotFound("Pool", name)
    async with existing(settings) as db:
        there = await _mark(backends[place].mark, pool)
        print(
            f"Pool {name} {f'is marked as {there.place} of {there.installation}' if there else 'has no mark'}."
        )
        if not yes:
            print("What lies in it and is unknown here will be put aside. '--yes' takes it.")
            return
        await backends[place].start()
        if there:
            await backends[place].occupy(pool, shared=False)
        ours = Mark(await db.write(installation.identify), name)
        await backends[place].set_mark(pool, ours)
        await db.write(installation.note_mark, name)
        print("It is this installation's from now on.")

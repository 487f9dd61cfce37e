"""What is outside without a row: bytes, machines, files of servers, secrets. And rows whose bytes are missing.

How can there be any, when every operation cleans up behind itself? A worker that was stopped for longer than
its lease wakes up in the middle of a step, and makes what its successor has undone already; a daemon acts after
nobody waits for it any more; somebody restores an old database, or points Pumice at another's storage.

**What is not known is never destroyed.** What has a tombstone is removed: this installation let go of it, in
the same transaction that took its row or its place away. Everything else is unknown: bytes are put aside in
their pool, under a name that says since when (``backends/aside.py``), and given up after days; machines, files
and secrets are told and left alone. When a row asks for bytes that were put aside, they are put back.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from pumice.backends import aside
from pumice.backends.aside import Aside
from pumice.backends.contract import Backend
from pumice.hypervisor.contract import Hypervisor
from pumice.loops.glance import Glance, Glances
from pumice.loops.violation import Orphan, Violation, unknown
from pumice.model.errors import PumiceError
from pumice.model.ids import AttachmentId, ServerId
from pumice.model.stored import StoredObject
from pumice.operations.drivers import Drivers
from pumice.store import ownership, tombstones
from pumice.store.database import Transaction
from pumice.store.part import Part
from pumice.store.tombstones import Kind

logger = structlog.get_logger(__name__)

SECONDS = 60.0


async def check(drivers: Drivers, glances: Glances | None = None) -> list[Violation]:
    """Find what belongs to nobody at every backend and hypervisor of this process.

    Anywhere, or where a loop looks by now.
    """
    found: list[Violation] = []
    for place, backend in drivers.backends.items():
        try:
            found += await _at_backend(drivers, place, backend, (glances or Glances()).at(place))
        except PumiceError as error:
            found.append(Violation(f"backend {place} does not answer: {error.in_full}"))
    for host, hypervisor in drivers.hypervisors.items():
        try:
            found += await _at_hypervisor(drivers, host, hypervisor)
        except PumiceError as error:
            found.append(Violation(f"hypervisor {host} does not answer: {error.in_full}"))
    return found


async def put_aside(backend: Backend) -> list[Aside]:
    """The bytes that were put aside in the pools of a backend, the oldest first."""
    names = [pool.name for pool in await backend.pools()]
    found = [aside.read(one, pool) for pool in names for one in await backend.manageable(pool)]
    return sorted((it for it in found if it), key=lambda it: it.name)


async def unknown_pieces(drivers: Drivers, place: str, backend: Backend) -> list[StoredObject]:
    """What a backend has and nothing here knows of, not put aside yet."""
    there = (await backend.inventory()).pieces
    return sorted((await drivers.db.read(_nobodys, place, there, there)).unknown)


@dataclass(frozen=True, slots=True)
class Nobodys:
    """Pieces that no row has where they are."""

    let_go: frozenset[StoredObject]
    """Pieces that this installation has let go of, or whose whole bytes it has beside them."""
    unknown: frozenset[StoredObject]


async def _at_backend(drivers: Drivers, place: str, backend: Backend, glance: Glance) -> list[Violation]:
    seen = (await backend.inventory()).pieces
    kept = await put_aside(backend)
    too_old = [_too_old(drivers, place, backend, it) for it in kept if _is_too_old(drivers, it)]
    facts = frozenset((piece.id, piece) for piece in seen)
    part = glance.part(facts)
    before = await drivers.db.read(ownership.bytes_at, place, part)
    wrong = {piece.id for piece in before.must - _whole(seen)}
    wrong |= {piece.id for piece in _nowhere(_within(part, seen), before, seen)}
    glance.has_seen(facts, wrong)
    if not wrong:
        return too_old
    there = (await backend.inventory()).pieces  # once more, between two looks at the rows

    def read(tx: Transaction) -> tuple[Nobodys, frozenset[StoredObject]]:
        nobodys = _nobodys(tx, place, _within(part, there), there)
        return nobodys, ownership.bytes_at(tx, place, part).must & before.must

    nobodys, must = await drivers.db.read(read)
    waiting = {it.piece: it for it in kept if it.piece.whole}
    return [
        *(_lost(drivers, place, backend, it, waiting.get(it)) for it in sorted(must - _whole(there))),
        *(_let_go(drivers, place, backend, piece, there) for piece in sorted(nobodys.let_go)),
        *(_unknown(drivers, place, backend, piece, there) for piece in sorted(nobodys.unknown)),
        *too_old,
    ]


def _within(part: Part | None, pieces: Collection[StoredObject]) -> Collection[StoredObject]:
    return pieces if part is None else [piece for piece in pieces if piece.id in part]


def _whole(pieces: Collection[StoredObject]) -> set[StoredObject]:
    return {piece for piece in pieces if piece.whole}


def _nowhere(
    pieces: Collection[StoredObject], known: ownership.Bytes, there: Collection[StoredObject]
) -> set[StoredObject]:
    """The pieces that no row has, or that are unfinished beside their whole bytes."""
    whole = _whole(there)
    return {it for it in pieces if _all_of(it) not in known.may or (not it.whole and _all_of(it) in whole)}


def _all_of(piece: StoredObject) -> StoredObject:
    """What rows know: nothing of theirs was cut short."""
    return piece if piece.whole else replace(piece, whole=True)


def _nobodys(
    tx: Transaction, place: str, pieces: Collection[StoredObject], there: Collection[StoredObject]
) -> Nobodys:
    """The pieces that no row has and no operation is about; ``there`` is all that the backend has."""
    part = Part(frozenset(piece.id for piece in pieces)) if pieces is not there else None
    known = ownership.bytes_at(tx, place, part)
    left = _nowhere(pieces, known, there)
    ids = {piece.id for piece in left}
    busy = ownership.in_hand(tx, ids) | ownership.adopting(tx, ids)
    left = {piece for piece in left if piece.id not in busy}
    superseded = {piece for piece in left if _all_of(piece) in known.may}
    buried = set[StoredObject]()
    for kind in (Kind.VOLUME, Kind.SNAPSHOT):
        for pool in {piece.pool for piece in left}:
            some = {piece.id for piece in left if piece.kind == kind and piece.pool == pool}
            gone = tombstones.buried(tx, kind, some, f"{place}#{pool}") - ownership.alive(tx, kind, some)
            buried |= {it for it in left if it.kind == kind and it.pool == pool and it.id in gone}
    return Nobodys(frozenset(superseded | buried), frozenset(left - superseded - buried))


def _lost(drivers: Drivers, place: str, backend: Backend, key: StoredObject, kept: Aside | None) -> Violation:
    words = f"{key.kind} {key.id} has no bytes on {place}"
    if kept is None:
        return Violation(words, is_lost=True)

    async def put_back() -> str | None:
        if key not in (await drivers.db.read(ownership.bytes_at, place, Part(frozenset([key.id])))).must:
            return None
        await backend.put_back(kept.piece, kept.name)
        return "they were put back"

    return Violation(f"{words}: they were put aside as {kept.name}", put_back, waits=False, is_lost=True)


def _let_go(
    drivers: Drivers, place: str, backend: Backend, piece: StoredObject, there: Collection[StoredObject]
) -> Violation:
    def is_orphan(tx: Transaction) -> bool:
        return piece in _nobodys(tx, place, [piece], there).let_go

    why = f"the {piece.kind} was deleted here" if piece.whole else "nobody is making it any more"
    return Orphan(
        _called(piece), piece.id, f"{place}#{piece.pool}", why, is_orphan, partial(backend.discard, piece)
    ).violation(drivers)


def _unknown(
    drivers: Drivers, place: str, backend: Backend, piece: StoredObject, there: Collection[StoredObject]
) -> Violation:
    where = f"{place}#{piece.pool}"

    async def fix() -> str | None:
        nobodys = await drivers.db.read(_nobodys, place, [piece], there)
        if piece not in nobodys.unknown:
            return None
        name = aside.name_of(piece)
        await backend.put_aside(piece, name)
        logger.warning("orphan.put_aside", kind=_called(piece), id=piece.id, place=where, name=name)
        return f"put aside as {name}"

    return unknown(_called(piece), piece.id, where, fix)


def _called(piece: StoredObject) -> str:
    return piece.kind if piece.whole else f"unfinished {piece.kind}"


def _is_too_old(drivers: Drivers, kept: Aside) -> bool:
    age = datetime.now(UTC).date() - kept.since
    return 0 < drivers.keep_unknown_days < age.days


def _too_old(drivers: Drivers, place: str, backend: Backend, kept: Aside) -> Violation:
    piece, where = kept.piece, f"{place}#{kept.piece.pool}"

    async def fix() -> str | None:
        if await drivers.db.read(ownership.alive, piece.kind, [piece.id]):
            return None
        await backend.give_up(piece.pool, kept.name)
        logger.warning("orphan.given_up", kind=_called(piece), id=piece.id, place=where, name=kept.name)
        return "given up"

    words = f"{_called(piece)} {piece.id} on {where} was put aside on {kept.since}, and nobody asked for it"
    return Violation(words, fix)


async def _at_hypervisor(drivers: Drivers, host: str, hypervisor: Hypervisor) -> list[Violation]:
    machines = await hypervisor.machines()
    remains = await hypervisor.remains() - machines
    secrets = await hypervisor.secrets()

    def read(tx: Transaction) -> tuple[frozenset[str], frozenset[str]]:
        known = ownership.servers_at(tx, host) | ownership.known_attachments(tx, secrets)
        left = (machines | remains | secrets) - known
        left -= ownership.in_hand(tx, left)
        gone = tombstones.buried(tx, Kind.SERVER, left, host) | tombstones.buried(tx, Kind.ATTACHMENT, left)
        return frozenset(left), gone

    def is_no_server(server: str, tx: Transaction) -> bool:
        known = ownership.servers_at(tx, host) | ownership.in_hand(tx, {server})
        return server not in known and bool(tombstones.buried(tx, Kind.SERVER, {server}, host))

    def is_no_attachment(attachment: str, tx: Transaction) -> bool:
        some = [attachment]
        known = ownership.known_attachments(tx, some) | ownership.in_hand(tx, some)
        return not known and bool(tombstones.buried(tx, Kind.ATTACHMENT, some))

    left, gone = await drivers.db.read(read)
    delete = partial(_delete, hypervisor)
    kinds: list[tuple[str, str, Collection[str], Callable[[str, Transaction], bool], Remove]] = [
        ("machine", "the server was deleted here", machines, is_no_server, delete),
        ("files of server", "the server was deleted here", remains, is_no_server, delete),
        ("secret", "the attachment was deleted", secrets, is_no_attachment, partial(_forget, hypervisor)),
    ]
    return [
        Orphan(kind, each, host, why, partial(is_orphan, each), partial(remove, each)).violation(drivers)
        if each in gone
        else unknown(kind, each, host)
        for kind, why, there, is_orphan, remove in kinds
        for each in sorted(left & set(there))
    ]


Remove = Callable[[str], Awaitable[None]]


async def _delete(hypervisor: Hypervisor, server: str) -> None:
    await hypervisor.delete(ServerId(server))


async def _forget(hypervisor: Hypervisor, attachment: str) -> None:
    await hypervisor.forget_secret(AttachmentId(attachment))

"""What there is according to the rows: reads for the loops of repair, which compare it with what is there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from pumice.model.states import SNAPSHOT, VOLUME, ServerStatus, VolumeStatus
from pumice.model.stored import StoredObject
from pumice.store.beginning import begins_with
from pumice.store.database import Transaction
from pumice.store.operations import UNDER_WAY
from pumice.store.part import Part, conditions
from pumice.store.tables import (
    attachments,
    image_bases,
    operations,
    server_disks,
    servers,
    snapshots,
    tombstones,
    volumes,
)

_ADOPTING = {VolumeStatus.MANAGING, VolumeStatus.UNMANAGING, VolumeStatus.ERROR_MANAGING}
_WITH_BYTES: Mapping[str, frozenset[str]] = {
    "volume": frozenset(VOLUME.with_bytes),
    "snapshot": frozenset(SNAPSHOT.with_bytes),
}


@dataclass(frozen=True, slots=True)
class Bytes:
    """The bytes that a backend may hold according to the rows, and those that it must."""

    may: frozenset[StoredObject]
    must: frozenset[StoredObject]


def bytes_at(tx: Transaction, host: str, part: Part | None = None) -> Bytes:
    """The bytes of the volumes and snapshots on ``host@backend``; of all of them, or of a part.

    A base of an image may be missing: whoever comes for it finds out, and does without.
    """
    may, must = set[StoredObject](), set[StoredObject]()
    kinds: tuple[tuple[Literal["volume", "snapshot"], sa.Table], ...] = (
        ("volume", volumes),
        ("snapshot", snapshots),
    )
    for kind, table in kinds:
        query = sa.select(table.c.id, table.c.pool, table.c.status)
        query = query.where(begins_with(table.c.pool, f"{host}#"))
        for row in (row for some in conditions(part, table.c.id) for row in tx.execute(query.where(some))):
            piece = StoredObject(kind, row.id, row.pool.partition("#")[2])
            may.add(piece)
            if row.status in _WITH_BYTES[kind]:
                must.add(piece)
    may |= _bases_at(tx, host, part)
    return Bytes(frozenset(may), frozenset(must))


def _bases_at(tx: Transaction, host: str, part: Part | None) -> set[StoredObject]:
    b = image_bases.c
    query = sa.select(b.id, b.pool).where(begins_with(b.pool, f"{host}#"))
    rows = (row for some in conditions(part, b.id) for row in tx.execute(query.where(some)))
    return {StoredObject("volume", row.id, row.pool.partition("#")[2]) for row in rows}


def alive(tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
    """The ids that volumes (or bases of images) or snapshots have, wherever they are."""
    tables = (volumes, image_bases) if kind == "volume" else (snapshots,)
    found = [sa.select(table.c.id).where(table.c.id.in_(list(ids))) for table in tables]
    return frozenset(tx.execute(sa.union_all(*found)).scalars()) if ids else frozenset()


def volumes_at(tx: Transaction, hosts: Collection[str], ids: Collection[str]) -> frozenset[str]:
    """The ids of volumes that are at these ``host@backend``, or were."""
    here = [begins_with(volumes.c.pool, f"{host}#") for host in hosts]
    were = [begins_with(tombstones.c.place, f"{host}#") for host in hosts]
    queries = (
        sa.select(volumes.c.id).where(volumes.c.id.in_(list(ids)), sa.or_(*here)),
        sa.select(tombstones.c.id).where(
            tombstones.c.kind == "volume", tombstones.c.id.in_(list(ids)), sa.or_(*were)
        ),
    )
    return frozenset(known for query in queries for known in tx.execute(query).scalars())


def adopting(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """The ids of volumes whose bytes are somebody else's before or after: not ours to free."""
    some = volumes.c.id.in_(list(ids)), volumes.c.status.in_(_ADOPTING)
    return frozenset(tx.execute(sa.select(volumes.c.id).where(*some)).scalars()) if ids else frozenset()


def servers_at(tx: Transaction, host: str) -> frozenset[str]:
    """The servers of a hypervisor's host."""
    return frozenset(tx.execute(sa.select(servers.c.id).where(servers.c.host == host)).scalars())


def known_attachments(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """The ids that attachments have."""
    known = sa.select(attachments.c.id).where(attachments.c.id.in_(list(ids)))
    return frozenset(tx.execute(known).scalars())


def in_hand(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """The ids, of these, that an operation is about which has not ended everywhere, a cleaning job included.

    It is about whatever its parameters and notes name, which is more than it has in mind, and that is safe.
    """
    if not ids:
        return frozenset()
    o = operations.c
    rows = tx.execute(sa.select(o.subject, o.params, o.notes).where(o.state.in_(UNDER_WAY)))
    named = "\n".join(f"{row.subject} {row.params} {row.notes}" for row in rows)
    return frozenset(known for known in ids if known in named)


@dataclass(frozen=True, slots=True)
class AtRest:
    """A server that no operation holds."""

    id: str
    status: ServerStatus
    updated_at: datetime | None
    """Changes with whatever happens to it: what was seen is still true while this is."""


def at_rest(tx: Transaction, host: str) -> list[AtRest]:
    """The servers of a host that are on or off, and that no operation is changing."""
    s = servers.c
    settled = (ServerStatus.ACTIVE, ServerStatus.PAUSED, ServerStatus.SHUTOFF)
    query = sa.select(s.id, s.status, s.updated_at).where(
        s.host == host, s.status.in_(settled), s.operation_id.is_(None), s.task.is_(None)
    )
    return [AtRest(row.id, row.status, row.updated_at) for row in tx.execute(query)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The serial numbers of the disks that a running server should have."""

    serials: frozenset[str]
    as_of: datetime | None
    """The server's ``updated_at``: what was seen is still true while this is the same."""


def disks_wanted(tx: Transaction, host: str, plugged: Collection[str]) -> dict[str, Wanted]:
    """What each running server should have, by server.

    ``plugged``: the attachments' states in which it should. A server of which a disk is just coming or going,
    or on which anything else is under way, is left out.
    """
    s, d, a, o = servers.c, server_disks.c, attachments.c, operations.c
    busy = sa.exists().where(o.subject == s.id, o.state.in_(UNDER_WAY))
    query = (
        sa.select(d.server_id, d.id, d.volume_id, a.status, a.operation_id, s.updated_at)
        .join(servers, s.id == d.server_id)
        .outerjoin(attachments, a.id == d.attachment_id)
        .where(
            s.host == host, s.status == ServerStatus.ACTIVE, s.operation_id.is_(None), s.task.is_(None), ~busy
        )
    )
    wanted, as_of, moving = dict[str, set[str]](), dict[str, datetime | None](), set[str]()
    for row in tx.execute(query):
        serials = wanted.setdefault(row.server_id, set())
        as_of[row.server_id] = row.updated_at
        if row.status is None or row.status in plugged:
            serials.add(row.volume_id or row.id)
        if row.operation_id is not None:
            moving.add(row.server_id)
    return {it: Wanted(frozenset(serials), as_of[it]) for it, serials in wanted.items() if it not in moving}

"""What the rows say of one another: every way in which they can contradict each other.

Reads only. What repairs each is in ``loops/rows.py``, which asks the same check again in its own transaction.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import sqlalchemy as sa

from pumice.model import states
from pumice.model.states import AttachStatus, Transitions, VolumeStatus
from pumice.model.volume import MOVING
from pumice.store import clock, pools, quotas, torn
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.holds import HELD
from pumice.store.operations import UNDER_WAY, is_cleaning
from pumice.store.tables import (
    attachments,
    backups,
    claims,
    group_snapshots,
    groups,
    image_bases,
    operations,
    quota_usage,
    server_disks,
    servers,
    snapshots,
    volumes,
)
from pumice.store.tables import pools as pool_rows

_HELD = sorted(states.KEEPS_IN_USE)
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LEASE_SLACK = 60.0
"""Seconds after which somebody would have taken over what a lease has left free."""
_LATE_SECONDS = 120.0
"""How long after a deadline somebody would have told so."""
_OLD_CLEANING_SECONDS = 3600.0
"""What is undone within this time needs nobody's attention."""
_LONGEST_LEASE = 3600.0
"""Seconds that no lease lasts: a longer one was written by a clock that was wrong."""


_HIDING = sorted(states.VOLUME.at_rest.keys() - {VolumeStatus.AVAILABLE, VolumeStatus.IN_USE})
"""States that do not say that somebody uses a volume."""


class Kind(StrEnum):
    """The kinds of violations that rows alone can show."""

    QUOTA = "quota"
    CLAIMED = "claim unlike its volume"
    CLAIM = "claim"
    STUCK_VOLUME = "stuck volume"
    LOST_MOVE = "move of nobody"
    UNLIKE_VOLUME = "volume unlike its attachments"
    HIDDEN_USER = "volume whose state hides who uses it"
    SHARED_VOLUME = "volume shared without being made for it"
    STUCK_SNAPSHOT = "stuck snapshot"
    STUCK_BACKUP = "stuck backup"
    STUCK_IMAGE_BASE = "stuck image base"
    STUCK_GROUP = "stuck group"
    STUCK_GROUP_SNAPSHOT = "stuck group snapshot"
    STUCK_ATTACHMENT = "stuck attachment"
    UNMAPPED_ATTACHMENT = "attachment without a disk"
    DANGLING_DISK = "disk without an attachment"
    STUCK_SERVER = "stuck server"
    UNREAD = "operation that is not understood"
    TORN = "row that cannot be read"
    LATE = "operation past its deadline"
    OLD_CLEANING = "cleaning that does not end"
    WAITS_IN_VAIN = "operation that waits in vain"
    DEAD_LEASE = "lease of nobody"
    HOLD_OF_NOBODY = "hold of nobody"
    NOT_HELD = "not held"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A contradiction: about which row, and in a sentence."""

    kind: Kind
    id: str
    words: str


def held_by(tx: Transaction, operation_id: str) -> list[Wrong]:
    """What still passes because of an operation that has been settled."""
    stuck = {
        Kind.LOST_MOVE: volumes,
        Kind.STUCK_VOLUME: volumes,
        Kind.STUCK_SNAPSHOT: snapshots,
        Kind.STUCK_BACKUP: backups,
        Kind.STUCK_IMAGE_BASE: image_bases,
        Kind.STUCK_GROUP: groups,
        Kind.STUCK_GROUP_SNAPSHOT: group_snapshots,
        Kind.STUCK_ATTACHMENT: attachments,
        Kind.STUCK_SERVER: servers,
    }
    found = []
    for kind, table in stuck.items():
        held = tx.execute(sa.select(table.c.id).where(table.c.operation_id == operation_id)).scalars().all()
        found += [wrong for each in held for wrong in CHECKS[kind](tx, each)]
    return found


def still(tx: Transaction, wrong: Wrong) -> bool:
    """Whether it still is so; only what it is about is looked at."""
    return wrong in CHECKS[wrong.kind](tx, wrong.id)


def _of(column: sa.ColumnElement[str], one: str | None) -> sa.ColumnElement[bool]:
    """A condition on one id, or none."""
    return sa.true() if one is None else column == one


def wrong_rows(tx: Transaction) -> list[Wrong]:
    """Every contradiction there is."""
    return [wrong for kind in Kind for wrong in CHECKS[kind](tx, None)]


def _growing(tx: Transaction, one: str | None) -> frozenset[str]:
    """Projects, or one, whose volumes are being extended or retyped: what is counted is ahead of their rows."""
    o = operations.c
    kinds = o.kind.in_(("volume.extend", "volume.migrate", "volume.migrate_in_use", "volume.recrypt"))
    extended = sa.select(o.subject).where(kinds, o.state.in_(UNDER_WAY))
    growing = sa.select(volumes.c.project_id).where(volumes.c.id.in_(extended), _of(volumes.c.project_id, one))
    return frozenset(tx.execute(growing).scalars())


def _quotas(tx: Transaction, one: str | None = None) -> list[Wrong]:
    u = quota_usage.c
    growing = _growing(tx, one)
    counted = quotas.usage_by_rows(tx, one)
    rows = tx.execute(sa.select(u.project_id, u.resource, u.in_use).where(_of(u.project_id, one)))
    said = {(row.project_id, row.resource): row.in_use for row in rows}
    words = "quota: project {} uses {} {} by count, {} by its rows"
    return [
        Wrong(Kind.QUOTA, project, words.format(project, used, resource, really))
        for project, resource in sorted(said.keys() | counted.keys())
        if (used := said.get((project, resource), 0)) != (really := counted.get((project, resource), 0))
        and project not in growing
    ]


def _claimed(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """Claims that differ: each volume or base in a pool has one of its size, and another while it grows."""
    c, o = claims.c, operations.c
    words = "pool {0}: {1} has claimed {2} GiB of it, {3}"
    pool, _, holder = one.rpartition(" ") if one else (None, None, None)
    found = []
    for called, table in (("volume", volumes), ("base", image_bases)):
        h = table.c
        unlike = (
            sa.select(h.pool, h.id, h.size, c.gb)
            .outerjoin(claims, sa.and_(c.pool == h.pool, c.holder == h.id))
            .where(h.pool.is_not(None), sa.or_(c.gb.is_(None), c.gb != h.size))
            .where(_of(h.id, holder), _of(h.pool, pool))
        )
        found += [
            (row.pool, row.id, words.format(row.pool, row.id, row.gb or 0, f"but its {called} has {row.size}"))
            for row in tx.execute(unlike)
        ]
    holders = [
        sa.exists().where(each.c.id == c.holder, each.c.pool == c.pool) for each in (volumes, image_bases)
    ]
    growing = sa.exists().where(o.id == c.holder, o.state.in_(UNDER_WAY))
    nobodys = sa.select(c.pool, c.holder, c.gb).where(~sa.or_(*holders), ~growing)
    found += [
        (row.pool, row.holder, words.format(row.pool, row.holder, row.gb, "but is not in it"))
        for row in tx.execute(nobodys.where(_of(c.pool, pool), _of(c.holder, holder)))
    ]
    return [Wrong(Kind.CLAIMED, f"{pool} {holder}", told) for pool, holder, told in found]


def _claims(tx: Transaction, one: str | None = None) -> list[Wrong]:
    counted = pools.claimed_by_rows(tx, one)
    p = pool_rows.c
    wrong = []
    for row in tx.execute(sa.select(p.name, p.claimed_gb, p.volumes.label("number")).where(_of(p.name, one))):
        name, size, number = row.name, row.claimed_gb, row.number
        if (size, number) != counted.get(name, (0, 0)):
            rows = "{} GiB by {}".format(*counted.get(name, (0, 0)))
            words = f"pool {name}: claimed are {size} GiB by {number} volumes, its volumes say {rows}"
            wrong.append(Wrong(Kind.CLAIM, name, words))
    return wrong


def _alive(operation_id: sa.ColumnElement[str | None]) -> sa.ColumnElement[bool]:
    """Whether the operation that a row names has not been settled: once it is, nothing passes because of it."""
    return _under_way(operation_id).where(operations.c.settled.is_(False))


def _under_way(operation_id: sa.ColumnElement[str | None]) -> sa.Exists:
    """Whether an operation has not ended everywhere."""
    return sa.exists().where(operations.c.id == operation_id, operations.c.state.in_(UNDER_WAY))


def _stuck(
    kind: Kind, called: str, table: sa.Table, moves: Transitions[Any], tx: Transaction, one: str | None = None
) -> list[Wrong]:
    """Volumes, snapshots, backups or groups on their way, with no operation that takes them there."""
    c = table.c
    at_work = c.status.in_(sorted(moves.at_work))
    stuck = tx.execute(sa.select(c.id, c.status).where(at_work, ~_alive(c.operation_id), _of(c.id, one)))
    words = "{} {} is {} and no operation is at work on it"
    return [Wrong(kind, row.id, words.format(called, row.id, row.status)) for row in stuck]


def _lost_moves(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """Volumes on their way to another pool, with no operation that takes them there."""
    v = volumes.c
    moving = v.migration_status.in_(sorted(MOVING)), ~_alive(v.operation_id), _of(v.id, one)
    words = "volume {} is {} to another pool and no operation is at work on it"
    rows = tx.execute(sa.select(v.id, v.migration_status).where(*moving))
    return [Wrong(Kind.LOST_MOVE, row.id, words.format(row.id, row.migration_status)) for row in rows]


def _unlike_volumes(tx: Transaction, one: str | None = None) -> list[Wrong]:
    v, a = volumes.c, attachments.c
    linked = sa.exists().where(a.volume_id == v.id, a.status.in_(_HELD))
    any_link = sa.exists().where(a.volume_id == v.id)
    unlinked = tx.execute(
        sa.select(v.id).where(v.status == VolumeStatus.IN_USE, ~linked, _of(v.id, one))
    ).scalars()
    free = tx.execute(
        sa.select(v.id).where(v.status == VolumeStatus.AVAILABLE, any_link, _of(v.id, one))
    ).scalars()
    found = [(each, f"volume {each} is in-use without an attachment that is attached") for each in unlinked]
    found += [(each, f"volume {each} is available although it has an attachment") for each in free]
    return [Wrong(Kind.UNLIKE_VOLUME, *each) for each in found]


def _hidden_users(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """Volumes with a state that hides an attachment: only a person set it, and takes it back or detaches."""
    v, a = volumes.c, attachments.c
    used = v.status.in_(_HIDING), a.status.in_(_HELD), ~_alive(v.operation_id), _of(v.id, one)
    query = sa.select(v.id, v.status, a.id.label("link")).join(attachments, a.volume_id == v.id).where(*used)
    words = "volume {} is {} although its attachment {} is attached: reset it to in-use, or detach it"
    return [
        Wrong(Kind.HIDDEN_USER, row.id, words.format(row.id, row.status, row.link))
        for row in tx.execute(query.order_by(v.id, a.id))
    ]


def _shared_volumes(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """Two who write to it know nothing of one another: only a person knows whose the bytes shall be."""
    v, a = volumes.c, attachments.c
    several = (
        sa.select(v.id).join(attachments, a.volume_id == v.id).where(v.multiattach.is_(False), _of(v.id, one))
    )
    query = sa.select(a.volume_id, a.id, a.server_id).where(
        a.volume_id.in_(several.group_by(v.id).having(sa.func.count() > 1))
    )
    users: dict[str, list[str]] = {}
    for row in tx.execute(query.order_by(a.created_at, a.id)):
        users.setdefault(row.volume_id, []).append(f"{row.id} of {row.server_id or 'no server'}")
    words = "volume {} is not multiattach and has {} attachments: {}"
    return [
        Wrong(Kind.SHARED_VOLUME, each, words.format(each, len(some), ", ".join(some)))
        for each, some in users.items()
    ]


def _stuck_attachments(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """Attachments on their way with no operation. One of none may be an outside caller's, between two calls."""
    a, s = attachments.c, servers.c
    held = sa.and_(a.operation_id.is_not(None), ~_alive(a.operation_id))
    ours = sa.exists().where(s.id == a.server_id, ~_alive(s.operation_id))
    comes = sa.and_(a.status == AttachStatus.ATTACHING, ours)
    left = sa.and_(a.operation_id.is_(None), sa.or_(a.status == AttachStatus.DETACHING, comes))
    words = "attachment {} is {} and no operation is at work on it"
    return [
        Wrong(Kind.STUCK_ATTACHMENT, row.id, words.format(row.id, row.status))
        for row in tx.execute(sa.select(a.id, a.status).where(sa.or_(held, left), _of(a.id, one)))
    ]


def _unmapped_attachments(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """Attachments of a server's own host that are none of its disks; another host's may be a service's."""
    a, d, s = attachments.c, server_disks.c, servers.c
    ours = sa.exists().where(s.id == a.server_id, s.host == a.host)
    mapped = sa.exists().where(d.attachment_id == a.id)
    found = tx.execute(sa.select(a.id).where(a.status.in_(_HELD), ours, ~mapped, _of(a.id, one))).scalars()
    words = "attachment {} is to a server that has no disk for it"
    return [Wrong(Kind.UNMAPPED_ATTACHMENT, each, words.format(each)) for each in found]


def _dangling_disks(tx: Transaction, one: str | None = None) -> list[Wrong]:
    a, d = attachments.c, server_disks.c
    linked = sa.exists().where(a.id == d.attachment_id)
    found = tx.execute(
        sa.select(d.id, d.volume_id).where(d.attachment_id.is_not(None), ~linked, _of(d.id, one))
    )
    words = "server disk {} (volume {}) has no attachment"
    return [Wrong(Kind.DANGLING_DISK, row.id, words.format(row.id, row.volume_id)) for row in found]


def _stuck_servers(tx: Transaction, one: str | None = None) -> list[Wrong]:
    s = servers.c
    busy = sa.or_(s.task.is_not(None), s.status.in_(sorted(states.SERVER.at_work)))
    rows = tx.execute(sa.select(s.id, s.task, s.status).where(busy, ~_alive(s.operation_id), _of(s.id, one)))
    words = "server {} is {} ({}) and no operation is at work on it"
    return [Wrong(Kind.STUCK_SERVER, row.id, words.format(row.id, row.status, row.task)) for row in rows]


def _unread(tx: Transaction, one: str | None = None) -> list[Wrong]:
    o = operations.c
    rows = tx.execute(
        sa.select(o.id, o.kind, o.unread).where(o.state.in_(UNDER_WAY), o.unread.is_not(None), _of(o.id, one))
    )
    words = "operation {} ({}) cannot be read by this version: {}"
    return [Wrong(Kind.UNREAD, row.id, words.format(row.id, row.kind, row.unread)) for row in rows]


def _torn(tx: Transaction, one: str | None = None) -> list[Wrong]:
    words = "{0}: {2} of {1} cannot be read: something else was written there"
    return [
        Wrong(Kind.TORN, " ".join(cell), words.format(*cell))
        for cell in torn.cells(tx)
        if one in (None, " ".join(cell))
    ]


def _late(tx: Transaction, one: str | None = None) -> list[Wrong]:
    o, late = operations.c, clock.time() - _LATE_SECONDS
    unsettled = o.state.in_(UNDER_WAY), o.settled.is_(False), o.deadline < late, _of(o.id, one)
    words = "operation {} ({}) is past its deadline, and whoever waits for it has not been told"
    rows = tx.execute(sa.select(o.id, o.kind).where(*unsettled))
    return [Wrong(Kind.LATE, row.id, words.format(row.id, row.kind)) for row in rows]


def _old_cleaning(tx: Transaction, one: str | None = None) -> list[Wrong]:
    o, old = operations.c, now() - timedelta(seconds=_OLD_CLEANING_SECONDS)
    query = sa.select(o.id, o.kind, o.place, o.settled_at).where(
        is_cleaning, o.settled_at < old, _of(o.id, one)
    )
    words = "operation {} ({}) failed, and its cleaning at {} has not ended since {:%Y-%m-%d %H:%M}"
    return [
        Wrong(Kind.OLD_CLEANING, row.id, words.format(row.id, row.kind, row.place, row.settled_at))
        for row in tx.execute(query)
    ]


def _waiting_in_vain(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """Operations that wait for none that goes on. Of several that wait for one, one has it as its part."""
    o = operations.c
    child = operations.alias("child")
    waiting = tx.execute(
        sa.select(o.id, o.kind, o.notes).where(
            o.state == "waiting", _of(o.id, one), ~sa.exists().where(child.c.parent_id == o.id, _goes_on(child))
        )
    )
    words = "operation {} ({}) waits for children that have all ended"
    return [
        Wrong(Kind.WAITS_IN_VAIN, row.id, words.format(row.id, row.kind))
        for row in waiting.all()
        if not _any_goes_on(tx, _ID.findall(str(row.notes)))
    ]


def _any_goes_on(tx: Transaction, ids: Collection[str]) -> bool:
    child = operations.alias("child")
    found = sa.select(child.c.id).where(child.c.id.in_(list(ids)), _goes_on(child)).limit(1)
    return bool(ids) and tx.execute(found).first() is not None


def _goes_on(child: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether somebody who waits for it has not been told yet, or it holds something still."""
    holds_something = sa.exists().where(HELD.subquery().c.operation_id == child.c.id)
    return sa.or_(child.c.settled.is_(False), holds_something)


def _dead_leases(tx: Transaction, one: str | None = None) -> list[Wrong]:
    o, at = operations.c, clock.time()
    held = o.state.in_(UNDER_WAY), o.owner.is_not(None)
    dead = sa.or_(
        o.lease_until.is_(None), o.lease_until < at - _LEASE_SLACK, o.lease_until > at + _LONGEST_LEASE
    )
    rows = tx.execute(sa.select(o.id, o.kind, o.owner).where(*held, dead, _of(o.id, one)))
    words = "operation {} ({}) is held by {}, which has not renewed its lease"
    return [Wrong(Kind.DEAD_LEASE, row.id, words.format(row.id, row.kind, row.owner)) for row in rows]


def _holds_of_nobody(tx: Transaction, one: str | None = None) -> list[Wrong]:
    h = HELD.subquery().c
    nobodys = tx.execute(
        sa.select(h.operation_id).distinct().where(~_under_way(h.operation_id), _of(h.operation_id, one))
    ).scalars()
    words = "operation {} has ended and still holds something"
    return [Wrong(Kind.HOLD_OF_NOBODY, each, words.format(each)) for each in nobodys]


def _not_held(tx: Transaction, one: str | None = None) -> list[Wrong]:
    """What an operation under way is about, and does not hold: another might begin on it."""
    h, o = HELD.subquery().c, operations.c
    wrong = []
    for name, table in (
        ("volume", volumes),
        ("snapshot", snapshots),
        ("backup", backups),
        ("image base", image_bases),
        ("group", groups),
        ("group snapshot", group_snapshots),
        ("attachment", attachments),
        ("server", servers),
    ):
        held = sa.exists().where(h.thing == table.c.id, h.operation_id == table.c.operation_id)
        unheld = (
            sa.select(table.c.id, o.kind)
            .join(operations, o.id == table.c.operation_id)
            .where(o.state.in_(UNDER_WAY), o.settled.is_(False), ~held, _of(table.c.id, one))
        )
        words = "{} {} is not held by the operation at work on it ({})"
        wrong += [Wrong(Kind.NOT_HELD, row.id, words.format(name, *row)) for row in tx.execute(unheld)]
    return wrong


CHECKS: Mapping[Kind, Callable[[Transaction, str | None], list[Wrong]]] = {  # of all, or of one
    Kind.QUOTA: _quotas,
    Kind.CLAIMED: _claimed,
    Kind.CLAIM: _claims,
    Kind.STUCK_VOLUME: partial(_stuck, Kind.STUCK_VOLUME, "volume", volumes, states.VOLUME),
    Kind.LOST_MOVE: _lost_moves,
    Kind.UNLIKE_VOLUME: _unlike_volumes,
    Kind.HIDDEN_USER: _hidden_users,
    Kind.SHARED_VOLUME: _shared_volumes,
    Kind.STUCK_SNAPSHOT: partial(_stuck, Kind.STUCK_SNAPSHOT, "snapshot", snapshots, states.SNAPSHOT),
    Kind.STUCK_BACKUP: partial(_stuck, Kind.STUCK_BACKUP, "backup", backups, states.BACKUP),
    Kind.STUCK_IMAGE_BASE: partial(_stuck, Kind.STUCK_IMAGE_BASE, "image base", image_bases, states.IMAGE_BASE),
    Kind.STUCK_GROUP: partial(_stuck, Kind.STUCK_GROUP, "group", groups, states.GROUP),
    Kind.STUCK_GROUP_SNAPSHOT: partial(
        _stuck, Kind.STUCK_GROUP_SNAPSHOT, "group snapshot", group_snapshots, states.GROUP_SNAPSHOT
    ),
    Kind.STUCK_ATTACHMENT: _stuck_attachments,
    Kind.UNMAPPED_ATTACHMENT: _unmapped_attachments,
    Kind.DANGLING_DISK: _dangling_disks,
    Kind.STUCK_SERVER: _stuck_servers,
    Kind.UNREAD: _unread,
    Kind.TORN: _torn,
    Kind.LATE: _late,
    Kind.OLD_CLEANING: _old_cleaning,
    Kind.WAITS_IN_VAIN: _waiting_in_vain,
    Kind.DEAD_LEASE: _dead_leases,
    Kind.HOLD_OF_NOBODY: _holds_of_nobody,
    Kind.NOT_HELD: _not_held,
}

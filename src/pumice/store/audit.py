"""What the rows say of one another: reads for the audit, which compares them and looks at the outside."""

from dataclasses import dataclass

import sqlalchemy as sa

from pumice.model.states import PASSING_VOLUME, AttachStatus, SnapshotStatus, VolumeStatus
from pumice.store import pools, quotas
from pumice.store.database import Transaction
from pumice.store.tables import (
    attachments,
    operations,
    quota_usage,
    server_disks,
    servers,
    snapshots,
    volumes,
)
from pumice.store.tables import pools as pool_rows

_HELD = sorted({AttachStatus.ATTACHED, AttachStatus.ERROR_DETACHING})


@dataclass(frozen=True, slots=True)
class Expected:
    """What should be there outside, according to the rows."""

    volumes: frozenset[tuple[str, str]]
    """(``host@backend``, volume) that must have bytes."""
    any_volumes: frozenset[tuple[str, str]]
    """The same, and those that may have some."""
    snapshots: frozenset[tuple[str, str]]
    any_snapshots: frozenset[tuple[str, str]]
    accounts: frozenset[tuple[str, str]]
    """(volume, CHAP user name) that may log in."""
    attachments: frozenset[str]
    machines: frozenset[tuple[str, str]]
    """(host, server)"""


def wrong_rows(tx: Transaction) -> list[str]:
    """Every way in which the rows contradict one another."""
    return [*_quotas(tx), *_claims(tx), *_volumes(tx), *_links(tx), *_servers(tx), *_operations(tx)]


def expected(tx: Transaction) -> Expected:
    """What should be there outside."""
    v, s = volumes.c, snapshots.c
    placed = tx.execute(sa.select(v.id, v.pool, v.status).where(v.pool.is_not(None))).all()
    kept = tx.execute(sa.select(s.id, s.pool, s.status)).all()
    unsure_volumes = {VolumeStatus.CREATING, VolumeStatus.DELETING, VolumeStatus.ERROR_DELETING}
    unsure_snapshots = set(SnapshotStatus) - {SnapshotStatus.AVAILABLE}
    a = attachments.c
    links = tx.execute(sa.select(a.id, a.volume_id, a.chap_username)).all()
    machines = tx.execute(sa.select(servers.c.host, servers.c.id).where(servers.c.host.is_not(None))).all()
    return Expected(
        frozenset((_host(row.pool), row.id) for row in placed if row.status not in unsure_volumes),
        frozenset((_host(row.pool), row.id) for row in placed),
        frozenset((_host(row.pool), row.id) for row in kept if row.status not in unsure_snapshots),
        frozenset((_host(row.pool), row.id) for row in kept),
        frozenset((row.volume_id, row.chap_username) for row in links if row.chap_username),
        frozenset(row.id for row in links),
        frozenset((row.host, row.id) for row in machines),
    )


def _host(pool: str) -> str:
    return pool.partition("#")[0]


def _quotas(tx: Transaction) -> list[str]:
    u = quota_usage.c
    counted = quotas.usage_by_rows(tx)
    rows = tx.execute(sa.select(u.project_id, u.resource, u.in_use))
    said = {(row.project_id, row.resource): row.in_use for row in rows}
    return [
        f"quota: project {key[0]} uses {said.get(key, 0)} {key[1]} by count, {counted.get(key, 0)} by its rows"
        for key in sorted(said.keys() | counted.keys())
        if said.get(key, 0) != counted.get(key, 0)
    ]


def _claims(tx: Transaction) -> list[str]:
    counted = pools.claimed_by_rows(tx)
    p = pool_rows.c
    wrong = []
    for row in tx.execute(sa.select(p.name, p.claimed_gb, p.volumes.label("number"))):
        name, size, number = row.name, row.claimed_gb, row.number
        if (size, number) != counted.get(name, (0, 0)):
            rows = "{} GiB by {}".format(*counted.get(name, (0, 0)))
            wrong.append(f"pool {name}: claimed are {size} GiB by {number} volumes, its volumes say {rows}")
    return wrong


def _volumes(tx: Transaction) -> list[str]:
    v, o, a = volumes.c, operations.c, attachments.c
    alive = sa.exists().where(o.id == v.operation_id, o.state.in_(("running", "waiting", "undoing")))
    linked = sa.exists().where(a.volume_id == v.id, a.status.in_(_HELD))
    any_link = sa.exists().where(a.volume_id == v.id)
    held = sorted(PASSING_VOLUME - {VolumeStatus.ATTACHING, VolumeStatus.DETACHING})
    stuck = tx.execute(sa.select(v.id, v.status).where(v.status.in_(held), ~alive))
    unlinked = tx.execute(sa.select(v.id).where(v.status == VolumeStatus.IN_USE, ~linked))
    free = tx.execute(sa.select(v.id).where(v.status == VolumeStatus.AVAILABLE, any_link))
    return [
        *(f"volume {row.id} is {row.status} and no operation is at work on it" for row in stuck),
        *(f"volume {row.id} is in-use without an attachment that is attached" for row in unlinked),
        *(f"volume {row.id} is available although it has an attachment" for row in free),
    ]


def _links(tx: Transaction) -> list[str]:
    a, d, s = attachments.c, server_disks.c, servers.c
    ours = sa.exists().where(s.id == a.server_id)
    mapped = sa.exists().where(d.attachment_id == a.id)
    unmapped = tx.execute(sa.select(a.id).where(ours, ~mapped))
    dangling = tx.execute(
        sa.select(d.id, d.volume_id).where(
            d.attachment_id.is_not(None), ~sa.exists().where(a.id == d.attachment_id)
        )
    )
    return [
        *(f"attachment {row.id} is to a server that has no disk for it" for row in unmapped),
        *(f"server disk {row.id} (volume {row.volume_id}) has no attachment" for row in dangling),
    ]


def _servers(tx: Transaction) -> list[str]:
    s, o = servers.c, operations.c
    alive = sa.exists().where(o.id == s.operation_id, o.state.in_(("running", "waiting", "undoing")))
    busy = sa.or_(s.task.is_not(None), s.status == "BUILD")
    rows = tx.execute(sa.select(s.id, s.task, s.status).where(busy, ~alive))
    return [f"server {row.id} is {row.status} ({row.task}) and no operation is at work on it" for row in rows]


def _operations(tx: Transaction) -> list[str]:
    o = operations.c
    child = operations.alias("child")
    waiting = tx.execute(
        sa.select(o.id, o.kind).where(
            o.state == "waiting",
            ~sa.exists().where(child.c.parent_id == o.id, child.c.settled.is_(False)),
        )
    )
    return [f"operation {row.id} ({row.kind}) waits for children that have all ended" for row in waiting]

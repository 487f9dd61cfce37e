"""Hosts: which there are, what waits for each, and those that are gone for good.

A host's name is in the names of its services, its pools and the places of its operations: ``NAME``,
``NAME@backend``, ``compute:NAME``, ``volume:NAME@backend``. What several hosts serve as a cluster is no single
one's.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import Misconfigured
from pumice.store import services as service_rows
from pumice.store.beginning import begins_with
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.operations import UNDER_WAY
from pumice.store.tables import (
    attachments,
    forgotten_hosts,
    hanging_calls,
    log_levels,
    operations,
    pools,
    servers,
    services,
    snapshots,
    volumes,
)

_s, _o = services.c, operations.c


@dataclass(frozen=True, slots=True)
class Host:
    """A host as its services say, and what is there or waits for it."""

    name: str
    services: Sequence[service_rows.Row]
    heard_at: datetime | None
    """The last heartbeat of any of its services; None when it has none."""
    forced_down: bool
    forgotten_at: datetime | None
    operations: int
    oldest: datetime | None
    """When the oldest of its operations began."""
    servers: int
    volumes: int
    attachments: int
    """The attachments of its servers and of its volumes."""

    @property
    def is_awaited(self) -> bool:
        """Whether anything waits for it."""
        return bool(self.operations or self.servers or self.volumes or self.attachments)


def every(tx: Transaction) -> list[Host]:
    """Every host that anything knows of, in the order of their names."""
    return [_read(tx, name) for name in sorted(_names(tx))]


def unheard(tx: Transaction, since: datetime) -> list[Host]:
    """The hosts of which no service has said anything since then."""
    heard = {row["host"].partition("@")[0] for row in service_rows.every(tx) if row["updated_at"] >= since}
    return [_read(tx, name) for name in sorted(_names(tx) - heard)]


def find(tx: Transaction, name: str) -> Host | None:
    """A host, if anything knows of it."""
    return _read(tx, name) if name in _names(tx) else None


def hidden(tx: Transaction, text: str) -> str:
    """A text without the names of hosts, backends and pools, for who is not to know them."""
    names = {*tx.execute(sa.select(_s.host)).scalars(), *tx.execute(sa.select(pools.c.name)).scalars()}
    names |= {name.partition("#")[0] for name in names}
    names |= {name.partition("@")[0] for name in names}
    for name in sorted(names, key=len, reverse=True):
        what = "a pool" if "#" in name else "a backend" if "@" in name else "a host"
        text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", what, text)
    return text


def forgotten(tx: Transaction) -> frozenset[str]:
    """The names of the hosts that are gone for good."""
    return frozenset(tx.execute(sa.select(forgotten_hosts.c.name)).scalars())


def refuse_forgotten(tx: Transaction, name: str) -> None:
    """Raises ``Misconfigured`` for a host that comes back although it was gone for good."""
    query = sa.select(forgotten_hosts.c.forgotten_at).where(forgotten_hosts.c.name == name)
    if at := tx.execute(query).scalar():
        raise Misconfigured(
            f"Host '{name}' was forgotten on {at:%Y-%m-%d %H:%M} UTC: its servers and volumes were given up. "
            "Start it under another name; or, with an empty state directory, after "
            f"'pumice hosts readmit {name}'."
        )


def forget(tx: Transaction, name: str) -> None:
    """Note that a host is gone for good; its services and pools are."""
    gone = backends(tx, name)
    for table in (services, log_levels):
        tx.execute(sa.delete(table).where(is_on(table.c.host, name)))
    tx.execute(sa.delete(pools).where(pools.c.host.in_(sorted(gone))))
    tx.execute(sa.delete(hanging_calls).where(begins_with(hanging_calls.c.owner, f"{name}:")))
    rows = [{"name": each, "forgotten_at": now()} for each in sorted({name, *gone} - forgotten(tx))]
    if rows:
        tx.execute(sa.insert(forgotten_hosts), rows)


def readmit(tx: Transaction, name: str) -> bool:
    """Let a host of this name come again. False when none was forgotten."""
    return bool(tx.execute(sa.delete(forgotten_hosts).where(is_on(forgotten_hosts.c.name, name))).rowcount)


def force_down(tx: Transaction, binary: str, name: str, down: bool) -> bool:
    """Say that a service's host is fenced, or is not any more. False when there is no such service."""
    named = sa.update(services).where(_s.binary == binary, _s.host == name)
    return bool(tx.execute(named.values(forced_down=down)).rowcount)


def dead_places(tx: Transaction, gone: frozenset[str]) -> dict[str, str]:
    """The places of operations under way that nobody will serve again, and why."""
    fenced = frozenset(tx.execute(sa.select(_s.host).where(_s.forced_down.is_(True))).scalars())
    if not gone and not fenced:
        return {}
    found = tx.execute(sa.select(_o.place).where(_o.state.in_(("running", "undoing"))).distinct()).scalars()
    why: dict[str, str] = {}
    for place in found:
        kind, _, where = place.partition(":")
        if where in gone or where.partition("@")[0] in gone:
            why[place] = f"Host '{where.partition('@')[0]}' is gone for good."
        elif kind == "compute" and where in fenced:
            why[place] = f"Host '{where}' is down: an administrator has fenced it."
    return why


def backends(tx: Transaction, name: str) -> frozenset[str]:
    """``host@backend`` of everything that this host alone serves or served."""
    rows = tx.execute(sa.select(_s.host, _s.cluster).where(_s.cluster.is_not(None))).all()
    members: dict[str, set[str]] = {}
    for row in rows:
        members.setdefault(row.cluster, set()).add(row.host.partition("@")[0])
    alone = {cluster for cluster, hosts in members.items() if hosts == {name}}
    said = sa.select(_s.host).where(is_on(_s.host, name), _s.host.contains("@"), _s.cluster.is_(None))
    found = set(tx.execute(said).scalars())
    for table in (volumes, snapshots):
        here = sa.select(table.c.pool).where(begins_with(table.c.pool, f"{name}@")).distinct()
        found |= {str(pool).partition("#")[0] for pool in tx.execute(here).scalars()}
    return frozenset((found - members.keys()) | alone)


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that a forgotten host had, and that no operation settles."""

    kind: str
    """``volume``, ``server`` or ``snapshot``"""
    id: str
    host: str


def unsettled(tx: Transaction, gone: frozenset[str], thing_id: str | None = None) -> list[Lost]:
    """Everything that is, in the order in which it can be settled; or what is of one thing."""
    if not gone:
        return []
    places = sorted(name for name in gone if "@" in name)
    v, s, n = volumes.c, snapshots.c, servers.c
    queries = {
        "volume": (
            v,
            sa.select(v.id, v.pool.label("place")).where(in_pools(v.pool, places), ~_is_error(v.status)),
        ),
        "server": (n, sa.select(n.id, n.host.label("place")).where(n.host.in_(sorted(gone)))),
        "snapshot": (
            s,
            sa.select(s.id, s.pool.label("place")).where(in_pools(s.pool, places), ~_is_error(s.status)),
        ),
    }
    found = []
    for kind, (columns, query) in queries.items():
        if thing_id is not None:
            query = query.where(columns.id == thing_id)
        rows = tx.execute(query.where(~_alive(columns.operation_id)))
        found += [Lost(kind, row.id, row.place.partition("@")[0]) for row in rows]
    return found


def left_behind(tx: Transaction) -> tuple[dict[str, str], list[Lost]]:
    """What ``dead_places`` and ``unsettled`` find, in one look."""
    gone = forgotten(tx)
    return dead_places(tx, gone), unsettled(tx, gone)


def _is_error(status: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return status.startswith("error")


def _alive(operation_id: sa.ColumnElement[str | None]) -> sa.ColumnElement[bool]:
    return sa.exists().where(_o.id == operation_id, _o.state.in_(UNDER_WAY))


def _names(tx: Transaction) -> set[str]:
    clusters = set(tx.execute(sa.select(_s.cluster).where(_s.cluster.is_not(None)).distinct()).scalars())
    named = {
        *tx.execute(sa.select(_s.host)).scalars(),
        *tx.execute(sa.select(servers.c.host).where(servers.c.host.is_not(None)).distinct()).scalars(),
        *(pool for pool in tx.execute(sa.select(pools.c.host)).scalars() if pool not in clusters),
        *forgotten(tx),
    }
    return {each.partition("@")[0] for each in named}


def _read(tx: Transaction, name: str) -> Host:
    found = [row for row in service_rows.every(tx) if row["host"].partition("@")[0] == name]
    places = backends(tx, name)
    at_places = _o.place.in_([f"compute:{name}", *(f"volume:{place}" for place in sorted(places))])
    age = sa.select(sa.func.count().label("number"), sa.func.min(_o.created_at).label("oldest"))
    waiting = tx.execute(age.where(_o.state.in_(UNDER_WAY), at_places)).one()
    there = sa.select(volumes.c.id).where(in_pools(volumes.c.pool, places))
    hosted = sa.select(servers.c.id).where(servers.c.host == name)

    def count(query: sa.Select[tuple[str]] | sa.CompoundSelect[tuple[str]]) -> int:
        return int(tx.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar() or 0)

    at = tx.execute(sa.select(forgotten_hosts.c.forgotten_at).where(forgotten_hosts.c.name == name)).scalar()
    return Host(
        name=name,
        services=found,
        heard_at=max(map(service_rows.heard_at, found), default=None),
        forced_down=any(row["forced_down"] for row in found),
        forgotten_at=at,
        operations=waiting.number,
        oldest=waiting.oldest,
        servers=count(hosted),
        volumes=count(there),
        attachments=count(linked(hosted, there)),
    )


def linked(servers_there: sa.Select[Any], volumes_there: sa.Select[Any]) -> sa.CompoundSelect[tuple[str]]:
    """The ids of the attachments of some servers, and of some volumes."""
    a = attachments.c
    by_server = sa.select(a.id).where(a.server_id.in_(servers_there))
    return by_server.union(sa.select(a.id).where(a.volume_id.in_(volumes_there)))


def is_on(column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
    """Whether a service's host is this one, or a backend of it."""
    return sa.or_(column == name, begins_with(column, f"{name}@"))


def in_pools(column: sa.ColumnElement[str | None], places: Collection[str]) -> sa.ColumnElement[bool]:
    """Whether a pool belongs to any of these ``host@backend``."""
    return sa.or_(sa.false(), *(begins_with(column, f"{place}#") for place in sorted(places)))

"""What is still at a host or a backend that is given nothing new: work under way, and what lives there."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pumice.store import hosts
from pumice.store.database import Transaction
from pumice.store.operations import UNDER_WAY
from pumice.store.services import closing
from pumice.store.tables import attachments, operations, servers, services, snapshots, volumes

_o, _s, _v = operations.c, services.c, volumes.c


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that lives there."""

    kind: str
    """``server``, ``volume``, ``snapshot`` or ``attachment``"""
    id: str
    name: str | None
    status: str
    project_id: str


def close(tx: Transaction, name: str, closed: bool, reason: str | None, by: str) -> list[str]:
    """Give the services of ``HOST`` or ``HOST@BACKEND`` nothing new, or all as before. Returns their names."""
    which = sa.and_(_s.binary.in_(("cinder-volume", "nova-compute")), hosts.is_on(_s.host, name))
    found = tx.execute(sa.select(_s.binary, _s.host).where(which).order_by(_s.binary, _s.host)).all()
    tx.execute(sa.update(services).where(which).values(closing(closed, reason, by)))
    return [f"{row.binary} {row.host}" for row in found]


def under_way(tx: Transaction, name: str) -> dict[str, int]:
    """How many operations of each kind are there, or hold what lives there."""
    places = _places(tx, name)
    held = [
        sa.select(table.c.operation_id).where(lives, table.c.operation_id.is_not(None))
        for table, lives in (
            (volumes, hosts.in_pools(_v.pool, places)),
            (snapshots, hosts.in_pools(snapshots.c.pool, places)),
            (servers, _hosted(name)),
        )
    ]
    at = [f"compute:{name}", *(f"volume:{place}" for place in sorted(places))]
    there = sa.or_(_o.place.in_(at), *(_o.id.in_(query) for query in held))
    query = sa.select(_o.kind, sa.func.count().label("number")).where(_o.state.in_(UNDER_WAY), there)
    return {row.kind: row.number for row in tx.execute(query.group_by(_o.kind).order_by(_o.kind))}


def left(tx: Transaction, name: str) -> list[Thing]:
    """The things that live at a host, servers first."""
    places = _places(tx, name)
    a = attachments.c
    ours = sa.select(servers.c.id).where(_hosted(name))
    linked = a.id.in_(hosts.linked(ours, sa.select(_v.id).where(hosts.in_pools(_v.pool, places))))
    queries = {
        "server": _rows(servers, servers.c.name).where(_hosted(name)),
        "volume": _rows(volumes, _v.name).where(hosts.in_pools(_v.pool, places)),
        "snapshot": _rows(snapshots, snapshots.c.name).where(hosts.in_pools(snapshots.c.pool, places)),
        "attachment": _rows(attachments, sa.literal(None, sa.String).label("name")).where(linked),
    }
    return [Thing(kind, **row) for kind, query in queries.items() for row in tx.execute(query).mappings()]


def _rows(table: sa.Table, name: sa.ColumnElement[Any]) -> sa.Select[tuple[str, str, str, str]]:
    t = table.c
    return sa.select(t.id, name, t.status, t.project_id).order_by(t.project_id, t.id)


def _places(tx: Transaction, name: str) -> frozenset[str]:
    return frozenset({name}) if "@" in name else hosts.backends(tx, name)


def _hosted(name: str) -> sa.ColumnElement[bool]:
    return servers.c.host == name

"""Services: which roles run on which hosts, and when each was last heard of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from pumice.model.ids import new_id
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import put
from pumice.store.tables import services

Row = sa.RowMapping

VOLUME_BINARY = "cinder-volume"
BACKUP_BINARY = "cinder-backup"

FROZEN = "frozen"
_STOPPED = timedelta(days=36525)
"""What is taken from the time of one that stops: a century, so that whoever looks finds it down at once."""
_FIRST_YEAR = 2000
_s = services.c


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a service says of itself."""

    binary: str
    host: str
    zone: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    cluster: str | None = None
    """The name under which it serves what others serve as well, as in ``NAME@backend``."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A backend that several hosts serve: what their services say."""

    name: str
    members: Sequence[Row]

    @property
    def disabled(self) -> bool:
        """Whether none of its services is to be given anything."""
        return all(member["disabled"] for member in self.members)

    @property
    def disabled_reason(self) -> str | None:
        """The reason for which the cluster is disabled; None if it is not."""
        return next((member["disabled_reason"] for member in self.members), None) if self.disabled else None


def heartbeat(tx: Transaction, heartbeats: Sequence[Heartbeat]) -> None:
    """Say that services are alive; make known those that are new, disabled if their cluster is."""
    at = now()
    closed = _closed(tx, {one.cluster for one in heartbeats if one.cluster})
    rows = []
    for one in heartbeats:
        new = {"uuid": new_id(), "created_at": at, **closed.get(one.cluster or "", _OPEN)}
        rows.append({**asdict(one), "updated_at": at, **new})
    put(tx, services, rows, keep=("uuid", "created_at", *_OPEN))


_OPEN: Mapping[str, Any] = {"disabled": False, "disabled_reason": None, "disabled_by": None}


def closing(disabled: bool, reason: str | None, by: str) -> dict[str, Any]:
    """The columns of a service that is disabled, why and by whom; or that is enabled."""
    return {"disabled": True, "disabled_reason": reason, "disabled_by": by} if disabled else dict(_OPEN)


def _closed(tx: Transaction, names: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Which of these clusters are disabled, and how."""
    if not names:
        return {}
    found = [cluster for cluster in clusters(tx) if cluster.name in names and cluster.disabled]
    return {it.name: {column: it.members[0][column] for column in _OPEN} for it in found}


def silence(tx: Transaction, who: Collection[tuple[str, str]]) -> None:
    """Say that services, each a binary and a host, are about to stop: they count as down from now on."""
    these = sa.tuple_(_s.binary, _s.host).in_(list(who))
    tx.execute(sa.update(services).where(these).values(updated_at=now() - _STOPPED))


def heard_at(service: Row) -> datetime:
    """When a service was last heard of: of one that stopped, when it said so."""
    at: datetime = service["updated_at"]
    return at if at.year >= _FIRST_YEAR else at + _STOPPED


def every(tx: Transaction, *, binary: str | None = None, host: str | None = None) -> Sequence[sa.RowMapping]:
    """Services in the order of their names, all or those that match."""
    query = sa.select(services).order_by(_s.binary, _s.host)
    if binary is not None:
        query = query.where(_s.binary == binary)
    if host is not None:
        query = query.where(_s.host == host)
    return tx.execute(query).mappings().all()


def is_up(service: Row, down_seconds: float) -> bool:
    """Whether the last heartbeat of a service's row is fresh, and nobody says that its host is down."""
    return is_heard(service, down_seconds) and not service["forced_down"]


def is_heard(service: Row, down_seconds: float) -> bool:
    """Whether it is heard of, whatever an administrator says of it."""
    return bool(service["updated_at"] >= now() - timedelta(seconds=down_seconds))


def serving(tx: Transaction, binary: str, down_seconds: float) -> Sequence[Row]:
    """A binary's services that are up and enabled, in the order of their zones."""
    up = [row for row in every(tx, binary=binary) if not row["disabled"] and is_up(row, down_seconds)]
    return sorted(up, key=lambda row: str(row["zone"]))


def why_not(tx: Transaction, binary: str, down_seconds: float) -> str:
    """A sentence on each service of a binary: why it is given nothing to do."""
    rows = every(tx, binary=binary)
    told = []
    for row in rows:
        if row["disabled"]:
            told.append(f"{row['host']} is {how_disabled(row)}")
        elif not is_up(row, down_seconds):
            told.append(f"{row['host']} was not heard from since {heard_at(row):%Y-%m-%d %H:%M:%S} UTC")
    return "; ".join(told) or f"no {binary} was ever started"


def how_disabled(service: Row) -> str:
    """The words for who disabled a service, as far as it is known, and why."""
    by = f" by {service['disabled_by']}" if service["disabled_by"] else ""
    return f"disabled{by}: {service['disabled_reason'] or 'no reason was given'}"


def uuids(tx: Transaction) -> dict[str, str | None]:
    """The uuids of the volume services by ``host@backend``; None for a cluster, which has many."""
    query = sa.select(_s.host, _s.uuid, _s.cluster).where(_s.binary == VOLUME_BINARY)
    rows = tx.execute(query).all()
    return {row.cluster: None for row in rows if row.cluster} | {row.host: row.uuid for row in rows}


def set_disabled(tx: Transaction, binary: str, host: str, disabled: bool, reason: str | None, by: str) -> bool:
    """Take a service out of scheduling, or put it back. False when there is no such service."""
    result = tx.execute(
        sa.update(services).where(_s.binary == binary, _s.host == host).values(closing(disabled, reason, by))
    )
    return bool(result.rowcount)


def frozen(service: Row) -> bool:
    """Whether its backend is frozen: it is disabled for that reason, as with Cinder."""
    return bool(service["disabled"]) and service["disabled_reason"] == FROZEN


def is_frozen(tx: Transaction, place: str) -> bool:
    """Whether the backend ``host@backend``, or ``cluster@backend``, is frozen."""
    here = sa.or_(_s.host == place, _s.cluster == place)
    query = sa.select(1).where(
        _s.binary == VOLUME_BINARY, here, _s.disabled.is_(True), _s.disabled_reason == FROZEN
    )
    return tx.execute(query.limit(1)).first() is not None


def set_frozen(tx: Transaction, host: str, frozen: bool, by: str) -> None:
    """Freeze the backend of a service, or thaw it."""
    set_disabled(tx, VOLUME_BINARY, host, frozen, FROZEN, by)


def clusters(tx: Transaction) -> list[Cluster]:
    """Every cluster, in the order of their names."""
    query = sa.select(services).where(_s.cluster.is_not(None)).order_by(_s.cluster, _s.host)
    rows = tx.execute(query).mappings().all()
    return [Cluster(name, list(members)) for name, members in groupby(rows, lambda row: str(row["cluster"]))]


def set_cluster_disabled(tx: Transaction, name: str, disabled: bool, reason: str | None, by: str) -> bool:
    """Take every service of a cluster out of scheduling, or put it back. False when there is none."""
    values = closing(disabled, reason, by)
    return bool(tx.execute(sa.update(services).where(_s.cluster == name).values(values)).rowcount)

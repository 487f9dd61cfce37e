"""Services: which roles run on which hosts, and when each was last heard of."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from pumice.model.ids import new_id
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import services

Row = sa.RowMapping

VOLUME_BINARY = "cinder-volume"

_s = services.c


def heartbeat(tx: Transaction, binary: str, host: str, zone: str, facts: dict[str, Any]) -> None:
    """Say that the service is alive; make it known if it is new."""
    values = {"zone": zone, "facts": facts, "updated_at": now()}
    same = _s.binary == binary, _s.host == host
    if not tx.execute(sa.update(services).where(*same).values(values)).rowcount:
        row = {
            "binary": binary,
            "host": host,
            "uuid": new_id(),
            "disabled": False,
            "created_at": now(),
            **values,
        }
        tx.execute(sa.insert(services), row)


def silence(tx: Transaction, binary: str, host: str) -> None:
    """Say that the service is about to stop: it counts as down from now on."""
    long_ago = now().replace(year=2000)
    tx.execute(sa.update(services).where(_s.binary == binary, _s.host == host).values(updated_at=long_ago))


def every(tx: Transaction, *, binary: str | None = None, host: str | None = None) -> Sequence[sa.RowMapping]:
    """Services in the order of their names, all or those that match."""
    query = sa.select(services).order_by(_s.binary, _s.host)
    if binary is not None:
        query = query.where(_s.binary == binary)
    if host is not None:
        query = query.where(_s.host == host)
    return tx.execute(query).mappings().all()


def is_up(service: Row, down_seconds: float) -> bool:
    """Whether the last heartbeat of a service's row is fresh."""
    return bool(service["updated_at"] >= now() - timedelta(seconds=down_seconds))


def uuids(tx: Transaction) -> dict[str, str]:
    """The uuids of the volume services by ``host@backend``."""
    query = sa.select(_s.host, _s.uuid).where(_s.binary == VOLUME_BINARY)
    return {row.host: row.uuid for row in tx.execute(query)}


def set_disabled(tx: Transaction, binary: str, host: str, disabled: bool, reason: str | None) -> bool:
    """Take a service out of scheduling, or put it back. False when there is no such service."""
    result = tx.execute(
        sa.update(services)
        .where(_s.binary == binary, _s.host == host)
        .values(disabled=disabled, disabled_reason=reason)
    )
    return bool(result.rowcount)

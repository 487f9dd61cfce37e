"""Pools: what backends say of themselves, and the space claimed in them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from pumice.model.volume import Pool
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import Rows
from pumice.store.tables import pools, services, volumes

VOLUME_BINARY = "cinder-volume"

_p = pools.c
_rows = Rows(pools, Pool)
_alive = (
    _rows.select.join(services, sa.and_(services.c.host == _p.host, services.c.binary == VOLUME_BINARY))
    .where(services.c.disabled.is_(False), services.c.updated_at >= sa.bindparam("since"))
    .order_by(_p.name)
    .with_for_update(of=pools)
)
_claim = (
    sa.update(pools)
    .where(_p.name == sa.bindparam("b_name"))
    .values(claimed_gb=_p.claimed_gb + sa.bindparam("size"), volumes=_p.volumes + sa.bindparam("number"))
)


def every(tx: Transaction) -> Sequence[Pool]:
    """All pools, whether their service is up or not."""
    return _rows.all(tx.execute(_rows.select.order_by(_p.name)))


def alive(tx: Transaction, down_seconds: float) -> Sequence[Pool]:
    """The pools of enabled services with a fresh heartbeat, locked until this transaction ends."""
    return _rows.all(tx.execute(_alive, {"since": now() - timedelta(seconds=down_seconds)}))


def claim(tx: Transaction, name: str, size: int, number: int = 1) -> None:
    """Claim ``size`` GiB for ``number`` more volumes (negative: give them back)."""
    tx.execute(_claim, {"b_name": name, "size": size, "number": number})


def report(tx: Transaction, host: str, facts: Sequence[dict[str, Any]]) -> None:
    """Replace what ``host`` (``host@backend``) said of its pools. Claims stay as they are."""
    known = set(tx.execute(sa.select(_p.name).where(_p.host == host)).scalars())
    for fact in facts:
        values = {**fact, "host": host, "updated_at": now()}
        if fact["name"] in known:
            tx.execute(sa.update(pools).where(_p.name == fact["name"]).values(values))
        else:
            claimed, number = claimed_by_rows(tx).get(fact["name"], (0, 0))
            tx.execute(sa.insert(pools), {**values, "claimed_gb": claimed, "volumes": number})
    gone = known - {fact["name"] for fact in facts}
    if gone:
        tx.execute(sa.delete(pools).where(_p.name.in_(gone)))


def claimed_by_rows(tx: Transaction) -> dict[str, tuple[int, int]]:
    """GiB and number of the volumes of every pool, counted from the volumes themselves."""
    v = volumes.c
    rows = tx.execute(
        sa.select(v.pool, sa.func.sum(v.size).label("size"), sa.func.count().label("number"))
        .where(v.pool.is_not(None))
        .group_by(v.pool)
    )
    return {row.pool: (row.size, row.number) for row in rows}

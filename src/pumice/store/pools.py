"""Pools: what backends say of themselves, and the space claimed in them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from pumice.model.volume import Pool
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import Rows, put
from pumice.store.tables import ROOM, claims, image_bases, pools, services, volumes

VOLUME_BINARY = "cinder-volume"
ROOMIEST = 20
"""How many pools are looked at before all are."""

_p = pools.c
_rows = Rows(pools, Pool)
_s = services.c
_works = (
    _s.binary == VOLUME_BINARY,
    _s.disabled.is_(False),
    sa.or_(
        _s.updated_at >= sa.bindparam("since"),
        sa.and_(_p.host == sa.bindparam("awaited"), _s.forced_down.is_not(True)),
    ),
)
_served = sa.or_(  # two questions, as each has an index
    sa.exists(sa.select(1).where(_s.host == _p.host, _s.cluster.is_(None), *_works)),
    sa.exists(sa.select(1).where(_s.cluster == _p.host, *_works)),
)
_room: sa.ColumnElement[float] = sa.literal_column(ROOM)
_roomiest = _rows.select.where(_served).order_by(_room.desc(), _p.volumes, _p.name).limit(ROOMIEST)
_alive = _rows.select.where(_served).order_by(_p.name)
_count = (
    sa.update(pools)
    .where(_p.name == sa.bindparam("b_name"))
    .values(claimed_gb=_p.claimed_gb + sa.bindparam("size"), volumes=_p.volumes + sa.bindparam("number"))
)
_c = claims.c
_mine = _c.pool == sa.bindparam("b_pool"), _c.holder == sa.bindparam("b_holder")
_claimed = sa.select(_c.gb).where(*_mine)
_insert_claim = sa.insert(claims)
_change_claim = sa.update(claims).where(*_mine)
_delete_claim = sa.delete(claims).where(*_mine).returning(_c.gb, _c.volumes)


def every(tx: Transaction) -> Sequence[Pool]:
    """The pools, whether their service is up or not."""
    return _rows.all(tx.execute(_rows.select.order_by(_p.name)))


def alive(tx: Transaction, down_seconds: float, awaited: str | None = None) -> Sequence[Pool]:
    """The pools that an enabled service with a fresh heartbeat serves.

    None is locked, so no heartbeat waits for who chooses; of two that do at once, one is run again.
    Those of the host ``awaited`` are among them when it is silent, unless an administrator says it is down.
    """
    since = now() - timedelta(seconds=down_seconds)
    return _rows.all(tx.execute(_alive, {"since": since, "awaited": awaited}))


def roomiest(
    tx: Transaction, down_seconds: float, *, zone: str | None = None, host: str | None = None
) -> Sequence[Pool]:
    """The living pools of a zone or a backend with the most free space, at most ``ROOMIEST``."""
    since = now() - timedelta(seconds=down_seconds)
    select = _roomiest
    if zone is not None:
        select = select.where(_p.availability_zone == zone)
    if host is not None:
        select = select.where(_p.host == host)
    return _rows.all(tx.execute(select, {"since": since, "awaited": None}))


def has_zone(tx: Transaction, zone: str) -> bool:
    """Whether any pool is in the availability zone."""
    return tx.execute(sa.select(1).where(_p.availability_zone == zone).limit(1)).first() is not None


def with_backups(tx: Transaction, down_seconds: float, wanted: str | None) -> str | None:
    """A pool whose host makes backups, as services that are up say; the ``wanted`` one if it is such."""
    volume, backup = services.alias("volume"), services.alias("backup")
    since = now() - timedelta(seconds=down_seconds)
    is_up = [
        sa.and_(one.c.updated_at >= since, one.c.disabled.is_(False), one.c.forced_down.is_not(True))
        for one in (volume, backup)
    ]
    query = (
        sa.select(_p.name)
        .join(volume, sa.func.coalesce(volume.c.cluster, volume.c.host) == _p.host)
        .join(backup, volume.c.host.startswith(backup.c.host + "@"))
        .where(volume.c.binary == VOLUME_BINARY, backup.c.binary == "cinder-backup", *is_up)
        .order_by((_p.name == wanted).desc(), _p.name)
        .limit(1)
    )
    return tx.execute(query).scalar()


def find(tx: Transaction, name: str) -> Pool | None:
    """The pool ``host@backend#pool``, if its backend has ever reported it."""
    return _rows.get(tx, name)


def reached_from(tx: Transaction, volume_ids: Collection[str]) -> frozenset[str]:
    """The hosts whose servers alone reach some of these volumes; none where any host's reach them all."""
    query = _rows.select.where(_p.name.in_(sa.select(volumes.c.pool).where(volumes.c.id.in_(list(volume_ids)))))
    found = _rows.all(tx.execute(query)) if volume_ids else ()
    return frozenset(host for pool in found if (host := pool.reached_from))


def claim(tx: Transaction, name: str, holder: str, size: int, *, volumes: int = 1) -> None:
    """Let ``holder`` have ``size`` GiB of a pool, whatever it had of it. Twice is the same as once.

    The holder is a volume; or, counted as none, a base of an image, or an operation by which a volume has more
    than its own for the time being: it grows, moves, or gets other bytes.
    """
    key = {"b_pool": name, "b_holder": holder}
    before = tx.execute(_claimed, key).scalar()
    if before is None:
        tx.send(_insert_claim, {"pool": name, "holder": holder, "gb": size, "volumes": volumes})
        tx.send(_count, {"b_name": name, "size": size, "number": volumes})
    elif before != size:
        tx.send(_change_claim, key | {"gb": size})
        tx.send(_count, {"b_name": name, "size": size - before, "number": 0})


def give_back(tx: Transaction, name: str, holder: str) -> None:
    """Give back what ``holder`` has of a pool, if it still has it."""
    if row := tx.execute(_delete_claim, {"b_pool": name, "b_holder": holder}).first():
        tx.send(_count, {"b_name": name, "size": -row.gb, "number": -row.volumes})


def report(tx: Transaction, told: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Replace what each host (``host@backend``) said of its pools. Claims stay as they are."""
    known = set(tx.execute(sa.select(_p.name).where(_p.host.in_(list(told)))).scalars())
    rows = [{**fact, "host": host, "updated_at": now()} for host, facts in told.items() for fact in facts]
    names = {row["name"] for row in rows}
    claimed = {name: found for new in names - known for name, found in claimed_by_rows(tx, new).items()}
    for row in rows:
        row["claimed_gb"], row["volumes"] = claimed.get(row["name"], (0, 0))
    if rows:
        put(tx, pools, rows, keep=("claimed_gb", "volumes"))
    if gone := known - names:
        tx.execute(sa.delete(pools).where(_p.name.in_(gone)))


def claimed_by_rows(tx: Transaction, pool: str | None = None) -> dict[str, tuple[int, int]]:
    """GiB and number of the volumes of every pool, or of one, counted from the claims themselves."""
    size, number = sa.func.sum(_c.gb).label("size"), sa.func.sum(_c.volumes).label("number")
    which = sa.true() if pool is None else _c.pool == pool
    rows = tx.execute(sa.select(_c.pool, size, number).where(which).group_by(_c.pool))
    return {row.pool: (row.size, row.number) for row in rows}


def amend(tx: Transaction, name: str, holder: str) -> None:
    """Let a claim be what its volume says, or its base of an image."""
    for table, number in ((volumes, 1), (image_bases, 0)):
        c = table.c
        size = tx.execute(sa.select(c.size).where(c.id == holder, c.pool == name)).scalar()
        if size is not None:
            return claim(tx, name, holder, size, volumes=number)
    return give_back(tx, name, holder)


def recount(tx: Transaction, name: str) -> None:
    """Let what is counted as claimed in a pool be what its claims say."""
    size, number = claimed_by_rows(tx, name).get(name, (0, 0))
    tx.execute(sa.update(pools).where(_p.name == name).values(claimed_gb=size, volumes=number))

"""The identity of this installation, and the places outside that bear its mark."""

import sqlalchemy as sa

from pumice.model.ids import new_id
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.tables import installation, marked_places, servers, volumes

_marked = marked_places.c


def find(tx: Transaction) -> str | None:
    """The installation's id; None before its first start."""
    return tx.execute(sa.select(installation.c.id)).scalar()


def identify(tx: Transaction) -> str:
    """The installation's id, made at its first start."""
    known = find(tx)
    if known is None:
        known = new_id()
        tx.execute(sa.insert(installation), {"id": known, "made_at": now()})
    return known


def is_marked(tx: Transaction, place: str) -> bool:
    """Whether a place bears our mark, or did."""
    return tx.execute(sa.select(_marked.name).where(_marked.name == place)).first() is not None


def note_mark(tx: Transaction, place: str) -> None:
    """A place bears our mark from now on."""
    if not is_marked(tx, place):
        tx.execute(sa.insert(marked_places), {"name": place, "marked_at": now()})


def hosts_with_things(tx: Transaction) -> frozenset[str]:
    """The hosts, and clusters, that have volumes or servers."""
    pools = tx.execute(sa.select(volumes.c.pool).where(volumes.c.pool.is_not(None)).distinct()).scalars()
    hosts = tx.execute(sa.select(servers.c.host).where(servers.c.host.is_not(None)).distinct()).scalars()
    return frozenset(pool.partition("@")[0] for pool in pools) | frozenset(hosts)

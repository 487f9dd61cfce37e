"""What services log: the changes that are asked of them, and the levels that they say they have.

A change is a level for every logger whose name begins with a prefix. Changes are numbered, the same for all
services, and each service makes those that are asked of it in their order, once. One that starts anew begins
with its settings, and with what is asked of it from then on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.rows import Rows, put
from pumice.store.tables import log_levels

API_BINARY = "cinder-api"
TOPIC = "log levels"
MOST = 100
"""How many changes wait at most for a service that listens: it makes them within seconds."""
KEEP = timedelta(days=1)
"""How long what a service said is kept after it was last heard of."""

Service = tuple[str, str]
"""A binary and a host."""
_l = log_levels.c


class Change(NamedTuple):
    """A level for the loggers whose names begin with ``prefix``."""

    number: int
    prefix: str
    level: str


@dataclass(frozen=True, slots=True)
class Logging:
    """What a service logs."""

    binary: str
    host: str
    changes: int
    wanted: Sequence[tuple[int, str, str]]
    present: Mapping[str, str]
    applied: int
    updated_at: datetime

    @property
    def is_settled(self) -> bool:
        """Whether every change that was asked of it was made before it last said what it logs."""
        return self.applied >= self.changes


_ROWS = Rows(log_levels, Logging)


def every(tx: Transaction) -> dict[Service, Logging]:
    """What each service logs that has ever said so, or was asked."""
    return {(row.binary, row.host): row for row in _ROWS.all(tx.execute(_ROWS.select))}


def change(tx: Transaction, whose: Collection[Service], prefix: str, level: str) -> None:
    """Ask services to log at ``level`` what loggers say whose names begin with ``prefix``."""
    before = every(tx)
    number = 1 + max((it.changes for it in before.values()), default=0)
    rows = [
        _ROWS.row(_asked(before.get(service) or _new(service), Change(number, prefix, level)))
        for service in whose
    ]
    if rows:
        put(tx, log_levels, rows, keep=("present", "applied", "updated_at"))
        tx.notify(TOPIC)


def _asked(it: Logging, one: Change) -> Logging:
    """The logging once the change is asked of it: what the change makes void of those before is dropped."""
    others = [other for other in it.wanted if not Change(*other).prefix.startswith(one.prefix)]
    return replace(it, changes=one.number, wanted=[*others, (one.number, one.prefix, one.level)][-MOST:])


def _new(service: Service) -> Logging:
    return Logging(*service, 0, (), {}, 0, now())


def listen(tx: Transaction, who: Collection[Service]) -> list[Change]:
    """The changes that were asked of these services, in their order; they are noted to have looked."""
    mine = sa.tuple_(_l.binary, _l.host).in_(list(who))
    looked = sa.update(log_levels).where(mine).values(updated_at=now())
    rows = tx.execute(looked.returning(_l.binary, _l.host, _l.wanted)).all()
    if new := set(who) - {(row.binary, row.host) for row in rows}:
        tx.execute(sa.delete(log_levels).where(_l.updated_at < now() - KEEP))
        put(tx, log_levels, [_ROWS.row(_new(service)) for service in sorted(new)], keep=("changes", "wanted"))
    return sorted({Change(*one) for row in rows for one in row.wanted})


def say(tx: Transaction, who: Collection[Service], present: Mapping[str, str], applied: int) -> None:
    """Note what these services log, once every change up to ``applied`` is made."""
    mine = sa.tuple_(_l.binary, _l.host).in_(list(who))
    tx.execute(sa.update(log_levels).where(mine).values(present=dict(present), applied=applied))

"""What notifications tell of things: read for many at once, and what is kept of a thing that goes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import (
    attachments,
    backups,
    group_snapshots,
    groups,
    snapshots,
    volumes,
)
from pumice.store.tables import (
    operations as operations_table,
)

Row = Mapping[str, Any]
_TABLES: Mapping[str, sa.Table] = {
    "volume": volumes,
    "snapshot": snapshots,
    "backup": backups,
    "group": groups,
    "group_snapshot": group_snapshots,
}
KEPT = "was"
"""The note with what an operation keeps of the thing whose row it removed."""
_SECRET = {"encryption_key_id", "operation_id", "description", "source"}
"""What is told to nobody, or is long."""
_LONGEST = 4096
"""Characters of what is kept of one field."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What is told beside the things."""

    attachments: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """The attachments of volumes."""
    zones: Mapping[str, str] = field(default_factory=dict)
    """The availability zones of the snapshots' volumes."""
    dependent: Mapping[str, int] = field(default_factory=dict)
    """How many backups are based on each."""


def operations(tx: Transaction, ids: Collection[str]) -> dict[str, Row]:
    """Operations by their ids: what they were asked to do, and what they have kept."""
    c = operations_table.c
    query = sa.select(c.id, c.params, c.notes, c.request_id).where(c.id.in_(list(ids)))
    return {row["id"]: dict(row) for row in tx.execute(query).mappings()}


def rows(tx: Transaction, thing: str, ids: Collection[str]) -> dict[str, Row]:
    """The rows of things of one kind, by their ids."""
    table = _TABLES[thing]
    found = tx.execute(sa.select(table).where(table.c.id.in_(list(ids))))
    return {row["id"]: dict(row) for row in found.mappings()}


def beside(tx: Transaction, found: Mapping[str, Mapping[str, Row]]) -> Beside:
    """What is told beside them."""
    of_volumes, zones, dependent = dict[str, list[Row]](), dict[str, str](), Counter[str]()
    if ids := list(found.get("volume", ())):
        for row in tx.execute(sa.select(attachments).where(attachments.c.volume_id.in_(ids))).mappings():
            of_volumes.setdefault(row["volume_id"], []).append(dict(row))
    if ids := list({row["volume_id"] for row in found.get("snapshot", {}).values()}):
        c = volumes.c
        zones = dict(tx.execute(sa.select(c.id, c.availability_zone).where(c.id.in_(ids))).all())  # type: ignore[arg-type]
    if ids := list(found.get("backup", ())):
        dependent.update(
            tx.execute(sa.select(backups.c.parent_id).where(backups.c.parent_id.in_(ids))).scalars()
        )
    return Beside(of_volumes, zones, dependent)


def kept(thing: Any) -> dict[str, Any]:
    """What an operation keeps of a thing whose row it removes: plain values, none of them long."""
    shown = {name: value for name, value in asdict(thing).items() if name not in _SECRET}
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in shown.items()}
    return {name: value for name, value in plain.items() if len(str(value)) <= _LONGEST}

"""Volumes, snapshots, groups, servers, operations and so on alike: found by an id's first characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pumice.store.database import Transaction
from pumice.store.tables import (
    attachments,
    backups,
    group_snapshots,
    groups,
    image_bases,
    messages,
    operations,
    servers,
    snapshots,
    volumes,
)

_TABLES = {
    "volume": volumes,
    "snapshot": snapshots,
    "backup": backups,
    "image base": image_bases,
    "group": groups,
    "group snapshot": group_snapshots,
    "attachment": attachments,
    "server": servers,
    "operation": operations,
}


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing: its state, since when if that is known, what holds it, and the last reason that was told."""

    kind: str
    id: str
    status: str
    since: datetime | None = None
    operation_id: str | None = None
    reason: str | None = None
    project_id: str | None = None


def beginning_with(tx: Transaction, characters: str) -> list[Thing]:
    """The things whose ids begin so, up to two of a kind."""
    found: list[Thing] = []
    for kind, table in _TABLES.items():
        query = sa.select(table).where(table.c.id.startswith(characters, autoescape=True)).limit(2)
        found += [_thing(tx, kind, row) for row in tx.execute(query).mappings()]
    return found


def users(tx: Transaction, thing: Thing) -> Sequence[Thing]:
    """The attachments of a volume or of a server."""
    a = attachments.c
    column = {"volume": a.volume_id, "server": a.server_id}.get(thing.kind)
    if column is None:
        return ()
    rows = tx.execute(sa.select(attachments).where(column == thing.id).order_by(a.created_at)).mappings()
    return [_thing(tx, "attachment", row) for row in rows]


def _thing(tx: Transaction, kind: str, row: sa.RowMapping) -> Thing:
    if kind == "operation":
        return Thing(kind, row["id"], row["state"], project_id=row["project_id"])
    since = (row["moved_at"] if kind == "volume" else None) or row["updated_at"]
    reason = (row["fault"] or {}).get("message") if kind == "server" else _message(tx, row["id"])
    since, project_id = since or row["created_at"], row.get("project_id")
    return Thing(kind, row["id"], row["status"], since, row["operation_id"], reason, project_id)


def _message(tx: Transaction, resource_id: str) -> str | None:
    m = messages.c
    last = sa.select(m.text).where(m.resource_id == resource_id).order_by(m.created_at.desc()).limit(1)
    return tx.execute(last).scalar()

"""Shelves: rows that belong to a project and that no operation works on. Who tries them makes their table."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from pumice.model.scope import Scope
from pumice.store.columns import now
from pumice.store.conditions import Conditions
from pumice.store.database import Transaction
from pumice.store.tenant_rows import TenantRows


@dataclass(frozen=True, slots=True)
class Shelf:
    id: str
    project_id: str
    name: str
    size: int
    created_at: datetime


shelves = sa.Table(
    "toy_shelves",
    sa.MetaData(),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
)
SHELVES = Conditions(shelves)
_rows = TenantRows(shelves, Shelf, "Shelf")

get, page = _rows.visible, _rows.page


def add(tx: Transaction, who: Scope, shelf_id: str, name: str, size: int) -> Shelf:
    shelf = Shelf(shelf_id, who.project_id or "", name, size, now())
    tx.execute(sa.insert(shelves), _rows.row(shelf))
    return shelf


def remove(tx: Transaction, who: Scope, shelf_id: str) -> None:
    tx.execute(sa.delete(shelves).where(shelves.c.id == get(tx, who, shelf_id).id))

"""Indexes by which the queue is read in its order, however much waits."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

MOVING = "state IN ('running', 'undoing')"
LANE = "coalesce(project_id, '') || ' ' || kind"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    _add("lanes", ["place", sa.text(f"({LANE})"), "run_at", "created_at"], MOVING)
    _add("held", ["place"], "owner IS NOT NULL")


def _add(name: str, columns: list[str | sa.TextClause], where: str) -> None:
    op.create_index(
        f"ix_operations_{name}",
        "operations",
        columns,
        if_not_exists=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )

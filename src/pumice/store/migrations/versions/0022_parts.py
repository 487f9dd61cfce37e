"""Indexes for what is read again and again: a part of what a host has."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    for table in ("volumes", "snapshots"):
        op.create_index(
            f"ix_{table}_part",
            table,
            [sa.text("substr(id, 1, 1)"), "pool", "id"],
            if_not_exists=True,
            postgresql_ops={"pool": "varchar_pattern_ops"},
        )

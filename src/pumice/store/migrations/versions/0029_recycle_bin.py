"""The recycle bin: what is in it, and its clock."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"

INDEXES = {
    "page": ["project_id", "recycled_at", "id"],
    "all": ["recycled_at", "id"],
    "due": ["recycled_until", "id"],
    "pool": ["pool", "recycled_at"],
}


def upgrade() -> None:
    """Add what earlier versions need not know."""
    where = sa.text("recycled_at IS NOT NULL")
    for table in ("volumes", "snapshots"):
        op.add_column(table, sa.Column("recycled_at", sa.DateTime))
        op.add_column(table, sa.Column("recycled_until", sa.Float))
        op.add_column(table, sa.Column("recycled_told", sa.Float))
        op.add_column(table, sa.Column("recycled_counts", sa.Boolean))
        for name, columns in INDEXES.items():
            op.create_index(
                f"ix_{table}_bin_{name}", table, columns, sqlite_where=where, postgresql_where=where
            )
    op.create_table(
        "recycle_clock",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("seen_at", sa.Float, nullable=False),
    )

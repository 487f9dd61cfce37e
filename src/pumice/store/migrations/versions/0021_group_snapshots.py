"""Snapshots of groups."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.create_table(
        "group_snapshots",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("group_type_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_snapshots")),
    )
    op.create_index("ix_group_snapshots_all", "group_snapshots", ["created_at", "id"])
    op.create_index("ix_group_snapshots_page", "group_snapshots", ["project_id", "created_at", "id"])
    op.create_index(op.f("ix_group_snapshots_group_id"), "group_snapshots", ["group_id"])
    op.add_column("snapshots", sa.Column("group_snapshot_id", sa.String(length=36), nullable=True))
    some = sa.text("group_snapshot_id IS NOT NULL")
    op.create_index(
        "ix_snapshots_group_snapshot_id",
        "snapshots",
        ["group_snapshot_id"],
        if_not_exists=True,
        sqlite_where=some,
        postgresql_where=some,
    )

"""Groups of volumes."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.create_table(
        "groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("group_type_id", sa.String(length=36), nullable=False),
        sa.Column("volume_types", sa.JSON(), nullable=False),
        sa.Column("availability_zone", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("group_snapshot_id", sa.String(length=36), nullable=True),
        sa.Column("source_group_id", sa.String(length=36), nullable=True),
        sa.Column("operation_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
    )
    op.create_index("ix_groups_all", "groups", ["created_at", "id"])
    op.create_index("ix_groups_page", "groups", ["project_id", "created_at", "id"])
    op.create_index("ix_groups_group_type_id", "groups", ["group_type_id"])
    op.add_column("volumes", sa.Column("group_id", sa.String(length=36), nullable=True))
    some = sa.text("group_id IS NOT NULL")
    op.create_index(
        "ix_volumes_group_id",
        "volumes",
        ["group_id"],
        if_not_exists=True,
        sqlite_where=some,
        postgresql_where=some,
    )

"""Hosts that are gone for good, and since when a volume is in its state."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a table and columns that earlier versions need not know."""
    op.create_table(
        "forgotten_hosts",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_forgotten_hosts")),
    )
    op.add_column("services", sa.Column("forced_down", sa.Boolean(), nullable=True))
    op.add_column("attachments", sa.Column("older", sa.Boolean(), nullable=True))
    op.add_column("volumes", sa.Column("read_only_told", sa.Boolean(), nullable=True))
    op.add_column("volumes", sa.Column("moved_at", sa.DateTime(), nullable=True))

"""Accounts by which one host reads, for the time of a move, what another exports."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.create_table(
        "move_accounts",
        sa.Column("username", sa.String(length=64), nullable=False),
        sa.Column("password", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("username", name=op.f("pk_move_accounts")),
    )

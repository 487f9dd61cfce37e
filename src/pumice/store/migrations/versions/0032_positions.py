"""How far those have come who follow the operation log."""

import sqlalchemy as sa
from alembic import op

from pumice.store.columns import TIME, WORD

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.create_table(
        "positions",
        sa.Column("name", WORD, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_positions")),
    )

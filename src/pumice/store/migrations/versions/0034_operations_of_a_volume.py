"""Operations name the volume that they are about besides their subject."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Add what earlier versions need not know: what they log is found by its subject alone."""
    op.add_column("operations", sa.Column("volume_id", sa.String(length=36)))
    some = sa.text("volume_id IS NOT NULL")
    op.create_index(
        "ix_operations_volume_id", "operations", ["volume_id"], sqlite_where=some, postgresql_where=some
    )

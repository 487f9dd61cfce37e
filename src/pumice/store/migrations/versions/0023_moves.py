"""How far the moving of a volume to another pool is."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.add_column("volumes", sa.Column("migration_status", sa.String(length=64), nullable=True))

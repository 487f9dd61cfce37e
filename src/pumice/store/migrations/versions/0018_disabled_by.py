"""Who disabled a service."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.add_column("services", sa.Column("disabled_by", sa.String(length=300), nullable=True))

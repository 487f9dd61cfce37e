"""Who locked a server, and why. Who locked those that are locked is not known: their owner may unlock them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("servers", sa.Column("locked_by", sa.String(length=64), nullable=True))
    op.add_column("servers", sa.Column("locked_reason", sa.String(length=255), nullable=True))

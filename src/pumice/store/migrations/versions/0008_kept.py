"""What clients say of servers and flavors only to have it shown again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns; nothing was kept before."""
    op.add_column("servers", sa.Column("kept", sa.JSON(), nullable=True))
    op.add_column("flavors", sa.Column("rxtx_factor", sa.Float(), nullable=True))

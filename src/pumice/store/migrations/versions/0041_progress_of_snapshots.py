"""How far a snapshot is, as a host says that makes or deletes it."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    """Add the column, empty: of most snapshots no host says anything."""
    op.add_column("snapshots", sa.Column("progress", sa.String(4)))

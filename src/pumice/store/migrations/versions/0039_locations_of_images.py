"""Where an image's bytes lie in a cluster of Ceph."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    """Add the column, empty: those that are there already are files."""
    op.add_column("images", sa.Column("location", sa.Text()))

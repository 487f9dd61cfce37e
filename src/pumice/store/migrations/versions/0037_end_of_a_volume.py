"""Whether anybody has seen the end of a volume: to encrypt it takes 2 MiB that no guest needs."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Add the column, empty: of volumes that are there already nobody knows."""
    op.add_column("volumes", sa.Column("end_unseen", sa.Boolean()))

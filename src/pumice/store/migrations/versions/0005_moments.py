"""What a snapshot remembers of its volume, taken from the volume as it is now for those that there are."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns, and fill them."""
    op.add_column("snapshots", sa.Column("bootable", sa.Boolean(), nullable=True))
    op.add_column("snapshots", sa.Column("image_metadata", sa.JSON(), nullable=True))
    op.add_column("snapshots", sa.Column("encryption_key_id", sa.String(length=36), nullable=True))
    for column in ("bootable", "image_metadata", "encryption_key_id"):
        now = f"SELECT v.{column} FROM volumes v WHERE v.id = snapshots.volume_id"  # noqa: S608 (our own words)
        op.execute(f"UPDATE snapshots SET {column} = ({now})")  # noqa: S608

"""What was cloned of a volume, or made of its snapshots, is found by what it was made of."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Two indexes of some rows: most volumes are made of nothing."""
    for name in ("source_volid", "snapshot_id"):
        some = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_volumes_{name}",
            "volumes",
            [name],
            sqlite_where=some,
            postgresql_where=some,
            if_not_exists=True,
        )

"""Which backups have the same objects is found by the objects' names."""

from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    """One index."""
    op.create_index("ix_backups_prefix", "backups", ["prefix"], if_not_exists=True)

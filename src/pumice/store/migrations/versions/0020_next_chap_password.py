"""The password that an attachment is about to have."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.add_column("attachments", sa.Column("next_chap_password", sa.String(length=64), nullable=True))

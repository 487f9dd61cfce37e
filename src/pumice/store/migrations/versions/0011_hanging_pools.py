"""The pool that a call which hangs is about, so that what has gone on to another is not fenced."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.add_column("hanging_calls", sa.Column("pool", sa.String(length=255), nullable=True))

"""A schedule may be deleted together with what it made."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Add what earlier versions need not know: to them such a schedule is one that is disabled."""
    for name in ("clear_at", "cleared_at"):
        op.add_column("schedules", sa.Column(name, sa.DateTime()))
    some = sa.text("clear_at IS NOT NULL")
    op.create_index(
        "ix_schedules_clear_at", "schedules", ["clear_at"], sqlite_where=some, postgresql_where=some
    )

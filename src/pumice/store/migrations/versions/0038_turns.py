"""Tables that are only locked: processes that are bound to meet in one row wait in one queue."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Make them; earlier versions know nothing of them, and go on meeting."""
    for number in range(8):
        op.create_table(f"turns_{number}", sa.Column("unused", sa.Integer(), primary_key=True))

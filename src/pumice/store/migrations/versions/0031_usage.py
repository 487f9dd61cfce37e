"""What is in use is added up by days. What there is at this moment counts from now on."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    for name in ("since", "today", "past_since", "past_today"):
        op.add_column("quota_usage", sa.Column(name, sa.Float()))
    usage = sa.table("quota_usage", sa.column("since"), sa.column("today"))
    op.execute(sa.update(usage).values(since=time.time(), today=0.0))
    op.create_table(
        "usage_days",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("resource", sa.String(length=300), nullable=False),
        sa.Column("amount_seconds", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", "resource", name=op.f("pk_usage_days")),
    )
    op.create_index("ix_usage_days_day", "usage_days", ["day"])

"""The pools with the most free space are found without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

ROOM = (
    "CASE WHEN thin THEN total_gb"
    " * CASE WHEN max_over_subscription_ratio > 1 THEN max_over_subscription_ratio ELSE 1 END"
    " - claimed_gb WHEN free_gb < total_gb - claimed_gb THEN free_gb ELSE total_gb - claimed_gb END"
    " - total_gb * reserved_percentage / 100.0"
)


def upgrade() -> None:
    """Add what earlier versions need not know."""
    room = sa.text(f"({ROOM}) DESC")
    op.create_index(
        "ix_pools_roomiest", "pools", ["availability_zone", room, "volumes", "name"], if_not_exists=True
    )
    op.create_index(op.f("ix_services_cluster"), "services", ["cluster"], if_not_exists=True)

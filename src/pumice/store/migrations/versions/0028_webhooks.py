"""Webhooks; numbers of the beginnings and ends of operations, among those of their lines."""

import sqlalchemy as sa
from alembic import op

from pumice.store.columns import ID, JSON_LIST, NAME, TIME, WORD

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    for name in ("began_number", "ended_number"):
        op.add_column("operations", sa.Column(name, sa.BigInteger()))
        op.create_index(f"ix_operations_{name}", "operations", [name], if_not_exists=True)
    op.create_table(
        "webhooks",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("kinds", JSON_LIST, nullable=False),
        sa.Column("outcomes", JSON_LIST, nullable=False),
        sa.Column("format", WORD, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("secret", NAME, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("failing_since", TIME),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_project_id", "webhooks", ["project_id", "created_at", "id"])

"""How operations are settled, a history that never runs out of numbers, and a row for each claim of a pool."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add what earlier versions need not know, and count the pools by their claims."""
    op.add_column("operations", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("operations", sa.Column("settled_at", sa.DateTime(), nullable=True))
    op.add_column("operations", sa.Column("unread", sa.Text(), nullable=True))
    op.add_column("operation_lines", sa.Column("times", sa.Integer(), nullable=False, server_default="1"))
    if op.get_context().dialect.name == "postgresql":
        op.alter_column("operation_lines", "number", type_=sa.BigInteger())
        op.execute("ALTER SEQUENCE operation_lines_number_seq AS BIGINT")
    op.create_table(
        "claims",
        sa.Column("pool", sa.String(length=255), nullable=False),
        sa.Column("holder", sa.String(length=36), nullable=False),
        sa.Column("gb", sa.Integer(), nullable=False),
        sa.Column("volumes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pool", "holder", name=op.f("pk_claims")),
    )
    op.execute(
        "INSERT INTO claims (pool, holder, gb, volumes)"
        " SELECT pool, id, size, 1 FROM volumes WHERE pool IS NOT NULL"
    )
    op.execute(
        "UPDATE pools SET"
        " claimed_gb = (SELECT coalesce(sum(gb), 0) FROM claims WHERE claims.pool = pools.name),"
        " volumes = (SELECT count(*) FROM claims WHERE claims.pool = pools.name)"
    )

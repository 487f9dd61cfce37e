"""Bases of images: what the image cache has in each pool."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.create_table(
        "image_bases",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("pool", sa.String(length=255), nullable=False),
        sa.Column("image_id", sa.String(length=36), nullable=False),
        sa.Column("content", sa.String(length=255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=False),
        sa.Column("operation_id", sa.String(length=36)),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_bases")),
    )
    op.create_index(
        "ix_image_bases_place",
        "image_bases",
        ["pool", "image_id"],
        unique=True,
        postgresql_ops={"pool": "varchar_pattern_ops"},
    )

"""Who this installation is, where it has left its mark, and what it has let go of."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add tables that earlier versions need not know."""
    op.create_table(
        "installation",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )
    op.create_table(
        "marked_places",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("marked_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marked_places")),
    )
    op.create_table(
        "tombstones",
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("place", sa.String(length=255), nullable=False),
        sa.Column("buried_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", "place", name=op.f("pk_tombstones")),
    )
    op.create_index(op.f("ix_tombstones_buried_at"), "tombstones", ["buried_at"])

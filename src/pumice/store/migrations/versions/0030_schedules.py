"""Schedules of snapshots and backups, their runs, and what they have made."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"

ID, WORD, NAME = sa.String(length=36), sa.String(length=64), sa.String(length=255)


def _some(name: str, table: str, column: str) -> None:
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.create_table(
        "schedules",
        sa.Column("id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("makes", WORD, nullable=False),
        sa.Column("volume_id", ID),
        sa.Column("group_id", ID),
        sa.Column("tags", sa.JSON()),
        sa.Column("cron", NAME, nullable=False),
        sa.Column("timezone", NAME, nullable=False),
        sa.Column("keep", sa.JSON(), nullable=False),
        sa.Column("full_every", sa.Integer()),
        sa.Column("container", NAME),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_run_at", sa.DateTime()),
        sa.Column("planned_at", sa.DateTime()),
        sa.Column("last_run_id", ID),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
    )
    op.create_index("ix_schedules_page", "schedules", ["project_id", "created_at", "id"])
    op.create_index("ix_schedules_all", "schedules", ["created_at", "id"])
    _some("ix_schedules_next_run_at", "schedules", "next_run_at")
    _some("ix_schedules_planned_at", "schedules", "planned_at")
    op.create_table(
        "schedule_runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("schedule_id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("manual", sa.Boolean(), nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime()),
        sa.Column("volumes", sa.Integer(), nullable=False),
        sa.Column("made", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("listed_at", sa.DateTime()),
        sa.Column("listed_id", ID),
        sa.Column("look_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_runs")),
        sa.UniqueConstraint("schedule_id", "due_at", name=op.f("uq_schedule_runs_schedule_id_due_at")),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedules.id"],
            name=op.f("fk_schedule_runs_schedule_id"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_schedule_runs_finished_at", "schedule_runs", ["finished_at"])
    _some("ix_schedule_runs_look_at", "schedule_runs", "look_at")
    op.create_table(
        "schedule_items",
        sa.Column("id", ID, nullable=False),
        sa.Column("run_id", ID),
        sa.Column("schedule_id", ID, nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("state", WORD, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("operation_id", ID),
        sa.Column("made_id", ID),
        sa.Column("made_at", sa.DateTime()),
        sa.Column("name", NAME),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_items")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["schedule_runs.id"], name=op.f("fk_schedule_items_run_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedules.id"],
            name=op.f("fk_schedule_items_schedule_id"),
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_schedule_items_run_id", "schedule_items", ["run_id", "state", "tries"])
    op.create_index("ix_schedule_items_made", "schedule_items", ["schedule_id", "target_id", "made_id"])

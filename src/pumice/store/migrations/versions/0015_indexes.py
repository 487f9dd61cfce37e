"""Indexes for what was found by reading a whole table."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add them, where they were not made before (``store/schema.py``), and drop what others replace."""
    _add("operations", "owner", some=True, begins=True)
    _add("operations", "finished_at")
    _add("role_assignments", "role_id")
    _add("role_assignments", "target_id")
    _add("tokens", "project_id")
    _add("server_disks", "attachment_id")
    _add("servers", "task", some=True)
    for table in ("volumes", "snapshots"):
        _add(table, "pool", name="place", begins=True)
        _add(table, "type_id")
    for table in ("snapshots", "attachments"):
        _add(table, "created_at", "id", name="all")
    _add("attachments", "project_id", "created_at", "id", name="page")
    for table in ("volumes", "snapshots", "attachments", "servers"):
        _add(table, "status")
        _add(table, "operation_id", some=True)
    op.drop_index("ix_volumes_pool", table_name="volumes", if_exists=True)
    op.drop_index("ix_attachments_project_id", table_name="attachments", if_exists=True)


def _add(table: str, *columns: str, name: str = "", some: bool = False, begins: bool = False) -> None:
    """``some``: of the rows that have a value there; ``begins``: for ``begins_with``."""
    where = sa.text(f"{columns[0]} IS NOT NULL") if some else None
    op.create_index(
        f"ix_{table}_{name or columns[0]}",
        table,
        list(columns),
        if_not_exists=True,
        sqlite_where=where,
        postgresql_where=where,
        postgresql_ops={columns[0]: "varchar_pattern_ops"} if begins else {},
    )

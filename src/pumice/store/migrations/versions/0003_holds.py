"""What each operation holds, and how; also what those hold that are under way now."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_USES = ("server.attach_volume", "server.detach_volume", "server.stop", "server.reboot", "attachment.renew")
_OWNS = ("volume.create", "volume.manage", "snapshot.create", "attachment.connect", "server.boot")
_ONLY_LOOK = ("pool.strangers", "server.console")
_SOURCES = {"volume.create": "origin_id", "snapshot.create": "volume_id", "volume.revert": "snapshot_id"}


def upgrade() -> None:
    """Add the column and the table, and fill them."""
    op.add_column("operations", sa.Column("hold", sa.String(length=64), nullable=True))
    is_held = sa.text("hold IS NOT NULL")
    op.create_index(
        op.f("ix_operations_hold"), "operations", ["subject"], sqlite_where=is_held, postgresql_where=is_held
    )
    holds = op.create_table(
        "operation_holds",
        sa.Column("thing", sa.String(length=36), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.Column("mode", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("thing", "operation_id", name=op.f("pk_operation_holds")),
    )
    op.create_index(op.f("ix_operation_holds_operation_id"), "operation_holds", ["operation_id"], unique=False)
    operations = sa.table(
        "operations",
        *map(sa.column, ("id", "kind", "subject", "state", "settled", "hold")),
        sa.column("params", sa.JSON()),
    )
    o = operations.c
    living = o.state.in_(("running", "waiting", "undoing")), o.settled.is_(sa.false())
    query = sa.select(o.id, o.kind, o.subject, o.params).where(*living)
    for id_, kind, subject, params in op.get_bind().execute(query).all():
        if kind in _ONLY_LOOK:
            continue
        mode = "own" if kind in _OWNS else "use" if kind in _USES else "change"
        mode = "read" if kind == "volume.upload" else mode
        op.execute(sa.update(operations).where(o.id == id_).values(hold=mode))
        source = params.get(_SOURCES.get(kind, ""))
        if source and source != subject:
            op.bulk_insert(holds, [{"thing": source, "operation_id": id_, "mode": "read"}])

"""Groups of users, application credentials, and the catalog as rows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add tables and a column that earlier versions need not know."""
    _add_groups()
    _add_credentials()
    _add_catalog()


def _text(name: str, length: int = 255, **kw: Any) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=kw.pop("nullable", False), **kw)


def _add_groups() -> None:
    op.create_table(
        "user_groups",
        _text("id", 36),
        _text("domain_id", 36),
        _text("name"),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_groups")),
        sa.ForeignKeyConstraint(["domain_id"], ["domains.id"], name=op.f("fk_user_groups_domain_id")),
        sa.UniqueConstraint("domain_id", "name", name=op.f("uq_user_groups_domain_id_name")),
    )
    op.create_table(
        "group_members",
        _text("group_id", 36),
        _text("user_id", 36),
        sa.PrimaryKeyConstraint("group_id", "user_id", name=op.f("pk_group_members")),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_groups.id"], name=op.f("fk_group_members_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_group_members_user_id"), ondelete="CASCADE"
        ),
    )
    op.create_index(op.f("ix_group_members_user_id"), "group_members", ["user_id"])
    op.create_table(
        "group_assignments",
        _text("group_id", 36),
        _text("role_id", 36),
        _text("scope", 64),
        _text("target_id", 36),
        sa.PrimaryKeyConstraint("group_id", "role_id", "scope", "target_id", name=op.f("pk_group_assignments")),
        sa.ForeignKeyConstraint(
            ["group_id"], ["user_groups.id"], name=op.f("fk_group_assignments_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_group_assignments_role_id"), ondelete="CASCADE"
        ),
    )


def _add_credentials() -> None:
    op.create_table(
        "application_credentials",
        _text("id", 36),
        _text("user_id", 36),
        _text("project_id", 36),
        _text("name"),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("unrestricted", sa.Boolean(), nullable=False),
        sa.Column("role_ids", sa.JSON(), nullable=False),
        sa.Column("access_rule_ids", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application_credentials")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_application_credentials_user_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_application_credentials_user_id_name")),
    )
    op.create_table(
        "access_rules",
        _text("id", 64),
        _text("user_id", 36),
        _text("service"),
        _text("path"),
        _text("method", 64),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_rules")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_access_rules_user_id"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "user_id", "service", "path", "method", name=op.f("uq_access_rules_user_id_service_path_method")
        ),
    )
    op.add_column("tokens", _text("application_credential_id", 36, nullable=True))


def _add_catalog() -> None:
    op.create_table(
        "regions",
        _text("id"),
        sa.Column("description", sa.Text(), nullable=False),
        _text("parent_region_id", nullable=True),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_regions")),
    )
    op.create_table(
        "catalog_services",
        _text("id", 36),
        _text("type"),
        _text("name"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_services")),
    )
    op.create_table(
        "endpoints",
        _text("id", 36),
        _text("service_id", 36),
        _text("interface", 64),
        _text("region_id", nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        sa.ForeignKeyConstraint(
            ["service_id"], ["catalog_services.id"], name=op.f("fk_endpoints_service_id"), ondelete="CASCADE"
        ),
    )

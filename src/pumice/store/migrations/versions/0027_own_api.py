"""Pages of a project's operations; Pumice's own API in the catalog, where that is the installation's own."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

SERVICES = sa.table(
    "catalog_services",
    *(sa.column(name) for name in ("id", "type", "name", "enabled")),
    sa.column("extra", sa.JSON),
)
ENDPOINTS = sa.table(
    "endpoints",
    *(sa.column(name) for name in ("id", "service_id", "interface", "region_id", "url", "enabled")),
    sa.column("extra", sa.JSON),
)


def _id(name: str) -> str:
    """As the first start makes them."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"pumice:{name}").hex


def upgrade() -> None:
    """Add what earlier versions need not know."""
    op.create_index("ix_operations_page", "operations", ["project_id", "created_at", "id"], if_not_exists=True)
    ours = op.get_bind().execute(sa.select(ENDPOINTS).where(ENDPOINTS.c.service_id == _id("block-storage")))
    places = ours.mappings().all()
    if not places:
        return  # a first start writes it, and a catalog of others' making is theirs
    service = {"id": _id("pumice"), "type": "pumice", "name": "pumice", "enabled": True}
    extra = {"description": "Operations, events, and the reason why"}
    op.bulk_insert(SERVICES, [{**service, "extra": extra}])
    op.bulk_insert(
        ENDPOINTS,
        [
            {
                **place,
                "id": _id(f"pumice:{place['interface']}"),
                "service_id": service["id"],
                "url": place["url"].replace("/volume/v3", "/pumice/v1"),
            }
            for place in places
        ],
    )

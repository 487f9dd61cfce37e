"""Verbs on the catalog: its regions, services and endpoints.

An endpoint whose URL is a path alone is of this installation, and is told at the address by which the client
came. Those are written at the first start; an operator changes them, and adds what is found elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pumice.model.errors import Forbidden, Invalid
from pumice.store.database import Transaction
from pumice.store.resources import ENDPOINTS, REGIONS, SERVICES, Row


@dataclass(frozen=True, slots=True)
class Catalog:
    """The services and endpoints, enabled or not."""

    services: Sequence[Row]
    endpoints: Sequence[Row]


def catalog(tx: Transaction) -> Catalog:
    """The services and endpoints that there are at the moment."""
    return Catalog(SERVICES.matching(tx, {}), ENDPOINTS.matching(tx, {}))


def add_region(tx: Transaction, row: Mapping[str, Any]) -> Row:
    """Add a region. Raises ``NotFound`` for its parent, ``Conflict`` for its id."""
    if row["parent_region_id"] is not None:
        REGIONS.show(tx, row["parent_region_id"])
    return REGIONS.add(tx, row)


def change_region(tx: Transaction, region_id: str, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """Change a region. Raises ``Invalid`` if it would be above itself."""
    parent = values.get("parent_region_id")
    while parent is not None:
        if parent == region_id:
            raise Invalid(f"The parent {values['parent_region_id']} would make a circular region hierarchy.")
        parent = REGIONS.show(tx, parent)["parent_region_id"]
    return REGIONS.change(tx, region_id, values, extra)


def remove_region(tx: Transaction, region_id: str) -> None:
    """Remove a region with those below it. Raises ``Forbidden`` while one of them has an endpoint."""
    REGIONS.show(tx, region_id)
    below = [region_id]
    for region in below:  # it grows while it is walked
        if ENDPOINTS.matching(tx, {"region_id": region}):
            raise Forbidden(
                f"Unable to delete region {region_id} because it or its child regions have associated "
                "endpoints."
            )
        below += [child["id"] for child in REGIONS.matching(tx, {"parent_region_id": region})]
    for region in reversed(below):
        REGIONS.remove(tx, region)


def add_endpoint(tx: Transaction, row: Mapping[str, Any], *, makes_region: bool) -> Row:
    """Add an endpoint. Raises ``Invalid`` for its service or region, which ``makes_region`` adds instead."""
    _check_endpoint(tx, row, makes_region=makes_region)
    return ENDPOINTS.add(tx, row)


def change_endpoint(
    tx: Transaction,
    endpoint_id: str,
    values: Mapping[str, Any],
    extra: Mapping[str, Any],
    *,
    makes_region: bool,
) -> Row:
    """Change an endpoint. Raises ``NotFound`` or ``Invalid``."""
    ENDPOINTS.show(tx, endpoint_id)
    _check_endpoint(tx, values, makes_region=makes_region)
    return ENDPOINTS.change(tx, endpoint_id, values, extra)


def _check_endpoint(tx: Transaction, values: Mapping[str, Any], *, makes_region: bool) -> None:
    region, service = values.get("region_id"), values.get("service_id")
    if region is not None and makes_region and not REGIONS.matching(tx, {"id": region}):
        REGIONS.add(tx, {"id": region, "description": "", "parent_region_id": None, "extra": {}})
    for resources, wanted in ((REGIONS, region), (SERVICES, service)):
        if wanted is not None and not resources.matching(tx, {"id": wanted}):
            raise Invalid(f"There is no {resources.kind.lower()} {wanted}: make it first.")

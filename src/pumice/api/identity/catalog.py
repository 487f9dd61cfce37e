"""The catalog: where each service of this installation is found. It follows the address the client used.

``block-storage`` has the type that the service types authority calls official; ``volumev3`` is its alias with
the project in the path, which older clients insist on. Other aliases are the clients' own business.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.identity.lists import collection, link, wanted
from pumice.api.routing import Route
from pumice.model.errors import NotFound

REGION = "RegionOne"
INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True, slots=True)
class Offer:
    """A service: its type in the catalog, the name that clients look for, and the path of its endpoints."""

    type: str
    name: str
    path: str
    description: str

    @property
    def id(self) -> str:
        """The same wherever and whenever it is asked for."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"pumice:{self.type}").hex

    def endpoint_id(self, interface: str) -> str:
        """Likewise."""
        return uuid.uuid5(uuid.NAMESPACE_URL, f"pumice:{self.type}:{interface}").hex


OFFERS = (
    Offer("identity", "keystone", "/identity", "Users, projects and tokens"),
    Offer("image", "glance", "/image", "Images"),
    Offer("compute", "nova", "/compute/v2.1", "Servers"),
    Offer("block-storage", "cinder", "/volume/v3", "Volumes"),
    Offer("volumev3", "cinderv3", "/volume/v3/%(project_id)s", "Volumes, with the project in the path"),
)


def catalog(base_url: str, project_id: str | None) -> list[dict[str, Any]]:
    """The catalog of a token; without a project it leaves out what needs one."""
    return [
        {
            "id": offer.id,
            "type": offer.type,
            "name": offer.name,
            "endpoints": [
                {
                    "id": offer.endpoint_id(interface),
                    "interface": interface,
                    "region": REGION,
                    "region_id": REGION,
                    "url": base_url + offer.path.replace("%(project_id)s", project_id or ""),
                }
                for interface in INTERFACES
            ],
        }
        for offer in OFFERS
        if project_id or "%(project_id)s" not in offer.path
    ]


# --- the same as resources, to read -------------------------------------------------------------


async def list_services(call: Call) -> Reply:
    """``GET /services``."""
    return collection(call, "services", _kept(call, _services(call), ("type", "name")))


async def show_service(call: Call) -> Reply:
    """``GET /services/{id}``."""
    return Reply({"service": _one("Service", _services(call), call.args["id"])})


async def list_endpoints(call: Call) -> Reply:
    """``GET /endpoints``."""
    columns = ("service_id", "interface", "region", "region_id")
    return collection(call, "endpoints", _kept(call, _endpoints(call), columns))


async def show_endpoint(call: Call) -> Reply:
    """``GET /endpoints/{id}``."""
    return Reply({"endpoint": _one("Endpoint", _endpoints(call), call.args["id"])})


async def list_regions(call: Call) -> Reply:
    """``GET /regions``."""
    return collection(call, "regions", [_region(call)])


async def show_region(call: Call) -> Reply:
    """``GET /regions/{id}``."""
    return Reply({"region": _one("Region", [_region(call)], call.args["id"])})


def _services(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": offer.id,
            "type": offer.type,
            "name": offer.name,
            "description": offer.description,
            "enabled": True,
            "links": {"self": link(call, "services", offer.id)},
        }
        for offer in OFFERS
    ]


def _endpoints(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": offer.endpoint_id(interface),
            "service_id": offer.id,
            "interface": interface,
            "region": REGION,
            "region_id": REGION,
            "url": call.base_url + offer.path,
            "enabled": True,
            "links": {"self": link(call, "endpoints", offer.endpoint_id(interface))},
        }
        for offer in OFFERS
        for interface in INTERFACES
    ]


def _region(call: Call) -> dict[str, Any]:
    links = {"self": link(call, "regions", REGION)}
    return {"id": REGION, "description": "", "parent_region_id": None, "links": links}


def _kept(call: Call, items: list[dict[str, Any]], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    filters = wanted(call, columns).items()
    return [item for item in items if all(item[column] == value for column, value in filters)]


def _one(kind: str, items: list[dict[str, Any]], wanted_id: str) -> dict[str, Any]:
    for item in items:
        if item["id"] == wanted_id:
            return item
    raise NotFound(kind, wanted_id)


ROUTES = (
    Route("GET", "/services", list_services, "identity:list_services"),
    Route("GET", "/services/{id}", show_service, "identity:get_service"),
    Route("GET", "/endpoints", list_endpoints, "identity:list_endpoints"),
    Route("GET", "/endpoints/{id}", show_endpoint, "identity:get_endpoint"),
    Route("GET", "/regions", list_regions, "identity:list_regions"),
    Route("GET", "/regions/{id}", show_region, "identity:get_region"),
)

"""The catalog that comes with a token: where each service is found.

What is of this installation follows the address that the client used. An alias is a service under another type
too, for clients that look for that (``[identity] catalog_aliases``).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pumice.api.call import Call
from pumice.identity.places import Catalog
from pumice.store.resources import Row

NAMES = {"volume": "cinder", "volumev2": "cinderv2", "network": "neutron"}
"""The names that clients look for beside a type, where they are not that type."""


def catalog(call: Call, found: Catalog, user_id: str, project_id: str | None) -> list[dict[str, Any]]:
    """The catalog of a token: what is enabled; without a project it leaves out what needs one."""
    own = [
        _offer(call, found, service, user_id, project_id) for service in found.services if service["enabled"]
    ]
    return own + list(_aliases(call.ctx.tunables.catalog_aliases, own))


def address(call: Call, url: str) -> str:
    """An endpoint's URL as the client of a call may use it."""
    return call.base_url + url if url.startswith("/") else url


def _offer(call: Call, found: Catalog, service: Row, user_id: str, project_id: str | None) -> dict[str, Any]:
    places = (one for one in found.endpoints if one["service_id"] == service["id"] and one["enabled"])
    shown = [
        {
            "id": place["id"],
            "interface": place["interface"],
            "region": place["region_id"],
            "region_id": place["region_id"],
            "url": address(call, url),
        }
        for place in places
        if (url := _filled_in(place["url"], user_id, project_id)) is not None
    ]
    return {"id": service["id"], "type": service["type"], "name": service["name"], "endpoints": shown}


def _filled_in(url: str, user_id: str, project_id: str | None) -> str | None:
    """A URL with its ``%(project_id)s`` replaced; None where there is no project to put there."""
    values = {"user_id": user_id, "project_id": project_id, "tenant_id": project_id}
    for name, value in values.items():
        for word in (f"%({name})s", f"$({name})s"):
            if word in url and value is None:
                return None
            url = url.replace(word, value or "")
    return url


def _aliases(aliases: Mapping[str, str], own: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    there = {service["type"] for service in own}
    for alias, kind in aliases.items():
        for service in own:
            if service["type"] == kind and service["endpoints"] and alias not in there:
                yield {**service, "type": alias, "name": NAMES.get(alias, service["name"])}

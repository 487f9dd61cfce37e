"""The version documents of Identity."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.identity.lists import ROOT
from pumice.api.routing import Route


async def choices(call: Call) -> Reply:
    """``GET /identity``: the versions there are; 300, as Keystone answers, with the place of the best."""
    location = {"Location": f"{call.base_url}{ROOT}/"}
    return Reply({"versions": {"values": [_version(call)]}}, 300, location)


async def show(call: Call) -> Reply:
    """``GET /identity/v3``."""
    return Reply({"version": _version(call)})


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{call.base_url}{ROOT}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


ROUTES = (
    Route("GET", "/", choices, None, bare=True),
    Route("GET", "/v3", show, None, bare=True),
)

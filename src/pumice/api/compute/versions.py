"""The version documents: what a client asks for first, without a token."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.compute.links import PREFIX, VERSION
from pumice.api.microversions import Versions, last_named
from pumice.api.routing import Route

VERSIONS = Versions("compute", (2, 1), (2, 104), last_named, "X-OpenStack-Nova-API-Version")
UPDATED = "2013-07-23T11:33:21Z"


def _document(call: Call) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": ".".join(map(str, VERSIONS.highest)),
        "min_version": ".".join(map(str, VERSIONS.lowest)),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{call.base_url}{PREFIX}{VERSION}/"}],
    }


async def every(call: Call) -> Reply:
    """``GET /``: there is one version."""
    return Reply({"versions": [_document(call)]})


async def this(call: Call) -> Reply:
    """``GET /v2.1/``."""
    version = _document(call)
    version["links"].append({"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"})
    version["media-types"] = [
        {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
    ]
    return Reply({"version": version})


ROUTES = (
    Route("GET", "/", every, None),
    Route("GET", VERSION, this, None),
    Route("GET", f"{VERSION}/", this, None),
)

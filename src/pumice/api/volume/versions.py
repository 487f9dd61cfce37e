"""The version documents: what a client asks for first, without a token."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.microversions import Versions, first_mention
from pumice.api.routing import Route
from pumice.api.volume.links import PREFIX, VERSION

VERSIONS = Versions("volume", (3, 0), (3, 71), first_mention)
UPDATED = "2023-08-31T00:00:00Z"


def _document(call: Call) -> dict[str, Any]:
    own = {"rel": "self", "href": f"{call.base_url}{PREFIX}{VERSION}/"}
    described = {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"}
    media = {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}
    version = {
        "id": "v3.0",
        "status": "CURRENT",
        "version": ".".join(map(str, VERSIONS.highest)),
        "min_version": ".".join(map(str, VERSIONS.lowest)),
        "updated": UPDATED,
        "links": [described, own],
        "media-types": [media],
    }
    return {"versions": [version]}


async def every(call: Call) -> Reply:
    """``GET /``: 300, as Cinder has it, because there might be several."""
    return Reply(_document(call), 300)


async def this(call: Call) -> Reply:
    """``GET /v3/``."""
    return Reply(_document(call))


ROUTES = (
    Route("GET", "/", every, None),
    Route("GET", VERSION, this, None),
    Route("GET", f"{VERSION}/", this, None),
)

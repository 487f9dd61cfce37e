"""What the service can do: its versions, and the ways to import an image (there is one: to upload it)."""

from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.faults import HttpError
from pumice.api.policy import ANYBODY, Rule
from pumice.api.routing import Route

CURRENT = "v2.9"
SUPPORTED = ("v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")


def routes() -> list[Route]:
    """The version documents are for anybody, without a token."""
    return [
        Route("GET", "/", choices, None, bare=True),
        Route("GET", "/versions", versions, None, bare=True),
        Route("GET", "/v2/info/import", import_methods, Rule("get_import_info", ANYBODY)),
        Route("GET", "/v2/info/stores", stores, Rule("get_import_info", ANYBODY)),
    ]


async def choices(call: Call) -> Reply:
    """The versions, to one who named none."""
    return Reply(_versions(call), 300)


async def versions(call: Call) -> Reply:
    """The versions, to one who asked for them."""
    return Reply(_versions(call))


async def import_methods(_: Call) -> Reply:
    """The import methods: none."""
    return Reply({"import-methods": {"description": "Import methods available.", "type": "array", "value": []}})


async def stores(_: Call) -> Reply:
    """The stores of images: one, without a name."""
    raise HttpError(404, "Multi backend is not supported at this site.")


def _versions(call: Call) -> dict[str, Any]:
    prefix = call.path.removesuffix("/").removesuffix("/versions")
    links = [{"rel": "self", "href": f"{call.base_url}{prefix}/v2/"}]
    return {
        "versions": [
            {"id": version, "status": "CURRENT" if version == CURRENT else "SUPPORTED", "links": links}
            for version in (CURRENT, *SUPPORTED)
        ]
    }

"""Pumice's own API, below ``/pumice/v1``: what the operation log and the scheduler know, told to people.

It has no microversions: what is there stays, and may be added to (``docs/own-api.md``).
"""

from dataclasses import replace
from pathlib import Path

from pumice.api.call import Call, Reply
from pumice.api.context import ApiContext
from pumice.api.faults import named_fault
from pumice.api.openapi_page import page
from pumice.api.own import (
    audit,
    children,
    connectors,
    events,
    explain,
    flatten,
    image_cache,
    openapi,
    operations,
    process,
    recycle_bin,
    schedules,
    usage,
    webhooks,
    why,
)
from pumice.api.routing import Route
from pumice.api.service import Service
from pumice.api.volume.rules import WORDS

PREFIX = "/pumice"
VERSION = "/v1"


async def versions(call: Call) -> Reply:
    """The version document: there is one version."""
    link = {"rel": "self", "href": f"{call.base_url}{PREFIX}{VERSION}/"}
    return Reply({"versions": [{"id": "v1.0", "status": "CURRENT", "links": [link]}]})


TOLD = (
    *operations.ROUTES,
    *why.ROUTES,
    *explain.ROUTES,
    *audit.ROUTES,
    *process.ROUTES,
    *connectors.ROUTES,
    *children.ROUTES,
    *flatten.ROUTES,
    *events.ROUTES,
    *webhooks.ROUTES,
    *recycle_bin.ROUTES,
    *schedules.ROUTES,
    *usage.ROUTES,
    *image_cache.ROUTES,
)
DOCUMENT = openapi.document(TOLD, PREFIX + VERSION)


async def openapi_document(_: Call) -> Reply:
    """The OpenAPI document."""
    return Reply(DOCUMENT)


async def openapi_page(_: Call) -> Reply:
    """The OpenAPI document as a page to read."""
    return Reply(page(DOCUMENT), content_type="text/html; charset=UTF-8")


ROUTES = (
    Route("GET", "/", versions, None, bare=True),
    Route("GET", VERSION, versions, None, bare=True),
    Route("GET", f"{VERSION}/", versions, None, bare=True),
    Route("GET", f"{VERSION}/openapi.json", openapi_document, None, bare=True),
    Route("GET", f"{VERSION}/openapi.html", openapi_page, None, bare=True),
    *(replace(route, path=VERSION + route.path) for route in TOLD),
)


def own_service(ctx: ApiContext, policy_file: Path | None = None) -> Service:
    """The service."""
    return Service(
        ctx,
        prefix=PREFIX,
        types=("pumice",),
        routes=ROUTES,
        policy_file=policy_file,
        policy_words=WORDS,  # it asks rules of Block Storage, too
        fault=named_fault,
    )
